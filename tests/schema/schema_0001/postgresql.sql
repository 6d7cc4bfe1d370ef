CREATE TABLE container_events (
  id BIGSERIAL NOT NULL,
  at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
  backend VARCHAR(64) NOT NULL,
  user_id BIGINT NOT NULL,
  team_id BIGINT,
  challenge_id BIGINT NOT NULL,
  action VARCHAR(32) NOT NULL,
  code VARCHAR(32) NOT NULL,
  duration_ms INTEGER NOT NULL,
  metadata TEXT NOT NULL,
  PRIMARY KEY (id)
);

CREATE INDEX ix_container_events_at ON container_events (at);

CREATE TABLE cre_instances (
  id BIGSERIAL NOT NULL,
  account VARCHAR(64) NOT NULL,
  challenge_id BIGINT NOT NULL,
  slot INTEGER NOT NULL,
  user_id BIGINT NOT NULL,
  team_id BIGINT,
  state VARCHAR(16) NOT NULL,
  version INTEGER NOT NULL,
  lease_until TIMESTAMP WITHOUT TIME ZONE NOT NULL,
  flag VARCHAR(255) NOT NULL,
  container_id VARCHAR(128),
  host VARCHAR(255) NOT NULL,
  ports TEXT NOT NULL,
  started_at TIMESTAMP WITHOUT TIME ZONE,
  expires_at TIMESTAMP WITHOUT TIME ZONE,
  extension_count INTEGER NOT NULL,
  PRIMARY KEY (id),
  CONSTRAINT uq_cre_instances_account_challenge UNIQUE (account, challenge_id),
  CONSTRAINT uq_cre_instances_account_slot UNIQUE (account, slot)
);

CREATE INDEX ix_cre_instances_expires_at ON cre_instances (expires_at);

CREATE TABLE cre_meta (
  key VARCHAR(64) NOT NULL,
  value VARCHAR(255) NOT NULL,
  PRIMARY KEY (key)
);

CREATE TABLE instance_gates (
  name VARCHAR(64) NOT NULL,
  PRIMARY KEY (name)
);

CREATE TABLE whale_instances (
  id BIGSERIAL NOT NULL,
  account VARCHAR(64) NOT NULL,
  challenge_id BIGINT NOT NULL,
  slot INTEGER NOT NULL,
  user_id BIGINT NOT NULL,
  team_id BIGINT,
  state VARCHAR(16) NOT NULL,
  version INTEGER NOT NULL,
  lease_until TIMESTAMP WITHOUT TIME ZONE NOT NULL,
  flag VARCHAR(255) NOT NULL,
  container_id VARCHAR(128),
  host VARCHAR(255) NOT NULL,
  ports TEXT NOT NULL,
  started_at TIMESTAMP WITHOUT TIME ZONE,
  expires_at TIMESTAMP WITHOUT TIME ZONE,
  extension_count INTEGER NOT NULL,
  PRIMARY KEY (id),
  CONSTRAINT uq_whale_instances_account_challenge UNIQUE (account, challenge_id),
  CONSTRAINT uq_whale_instances_account_slot UNIQUE (account, slot),
  CONSTRAINT uq_whale_instances_user UNIQUE (user_id)
);

CREATE INDEX ix_whale_instances_expires_at ON whale_instances (expires_at);

CREATE TABLE worker_leases (
  name VARCHAR(64) NOT NULL,
  holder VARCHAR(64) NOT NULL,
  until TIMESTAMP WITHOUT TIME ZONE NOT NULL,
  PRIMARY KEY (name)
);
