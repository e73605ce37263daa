-- What was recorded since a moment, for those who follow the live feed and come back.
CREATE INDEX punches_recorded ON punches (recorded_at, id);
