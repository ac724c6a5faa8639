CREATE TABLE IF NOT EXISTS konnektor_publications (
	journal  TEXT    NOT NULL,
	key_type TEXT    NOT NULL,
	key_id   TEXT    NOT NULL,
	revision BIGINT  NOT NULL,
	pending  INTEGER NOT NULL,
	expires  BIGINT  NOT NULL, -- Unix time in seconds
	state    TEXT    NOT NULL, -- JSON
	PRIMARY KEY (journal, key_type, key_id)
)
