-- Who may look through a camera besides admins, JSON: e-mail addresses of accounts; everybody
-- when null.
ALTER TABLE cameras ADD COLUMN viewers TEXT;
