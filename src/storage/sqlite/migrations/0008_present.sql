-- Whose visit lasts at a camera, JSON: whoever watches next goes on with it.
ALTER TABLE camera_states ADD COLUMN present TEXT;
