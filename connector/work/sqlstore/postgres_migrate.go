package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// minPostgres is the first version that is supported.
const minPostgres = 13

const (
	// sqlPostgresTables tells whether there is a schema, and whether it has tables.
	sqlPostgresTables = `SELECT CASE
	WHEN NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) THEN -1
	WHEN to_regclass($2) IS NULL THEN 0
	ELSE 1 END`

	sqlPostgresVersion = `SELECT max(version) FROM {schema}.schema_version`

	sqlPostgresMakeSecret = `INSERT INTO {schema}.meta (name, value) VALUES ('secret', $1) ON CONFLICT (name) DO NOTHING`
	sqlPostgresGetSecret  = `SELECT value FROM {schema}.meta WHERE name = 'secret'`
)

// postgresStatements are those of [Postgres.text].
var postgresStatements = []string{
	sqlPostgresMark, sqlPostgresLeaseByPriority, sqlPostgresLeaseByAge, sqlPostgresGiveBack, sqlPostgresRenew, sqlPostgresNextDue,
	sqlPostgresFinish, sqlPostgresFinishLocked,
	sqlPostgresGet, sqlPostgresListIdle, sqlPostgresListWaiting, sqlPostgresListDue, sqlPostgresListRunning,
	sqlPostgresListParked, sqlPostgresUpcoming, sqlPostgresStats, sqlPostgresParkedGroups,
	sqlPostgresPruneIdle, sqlPostgresPruneParked, sqlPostgresLock, sqlPostgresForget,
	sqlPostgresReject, sqlPostgresListRejected, sqlPostgresGetRejected, sqlPostgresDeleteRejected, sqlPostgresPruneRejected,
	sqlPostgresTables, sqlPostgresVersion, sqlPostgresMakeSecret, sqlPostgresGetSecret,
}

// open checks the server, brings the tables up to date and reads the secret.
func (p *Postgres) open(ctx context.Context) error {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("db: cannot connect: %w", withoutData(err))
	}
	defer func() { _ = conn.Close() }() // gives it back
	if err := checkServer(ctx, conn); err != nil {
		return err
	}
	role, err := setting(ctx, conn, "SELECT current_user")
	if err != nil {
		return err
	}
	m := &migration{Postgres: p, role: quoteName(role)}
	if err := m.run(ctx, conn); err != nil {
		return err
	}
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // never fails, see crypto/rand
	for _, known := range []bool{true, false, true} {
		if known {
			err = conn.QueryRowContext(ctx, p.text(sqlPostgresGetSecret)).Scan(&p.secret)
		} else {
			_, err = conn.ExecContext(ctx, p.text(sqlPostgresMakeSecret), fresh)
		}
		if known && err == nil {
			return nil
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			break
		}
	}
	return m.denied("open", err, adviceUse)
}

// checkServer refuses servers on which the store would not keep its promises.
func checkServer(ctx context.Context, conn *sql.Conn) error {
	text, err := setting(ctx, conn, "SELECT current_setting('server_version_num')")
	if err != nil {
		return err
	}
	if version, err := strconv.Atoi(text); err != nil || version < minPostgres*10000 {
		return fmt.Errorf("db: the server's version is %s; use PostgreSQL %d or later", text, minPostgres)
	}
	for _, s := range []struct{ name, want, not, why string }{
		{"server_encoding", "UTF8", "", "make the database with ENCODING 'UTF8'"},
		{"synchronous_commit", "", "off", "what is stored would not survive a crash; use on"},
		{"default_transaction_isolation", "read committed", "", "calls would refuse each other; use 'read committed'"},
	} {
		value, err := setting(ctx, conn, "SELECT current_setting('"+s.name+"')")
		if err != nil {
			return err
		}
		if value == s.not || s.want != "" && value != s.want {
			return fmt.Errorf("db: %s is %q: %s", s.name, value, s.why)
		}
	}
	return nil
}

func setting(ctx context.Context, conn *sql.Conn, query string) (text string, err error) {
	if err = conn.QueryRowContext(ctx, query).Scan(&text); err != nil {
		return "", fmt.Errorf("db: cannot read the server's settings; is it PostgreSQL? %w", withoutData(err))
	}
	return text, nil
}

// migration brings the tables up to date. Version n of them is what the first n
// files of the folder make.
type migration struct {
	*Postgres

	role  string // quoted
	files []string
}

// The statements that an administrator has to run for a role, which is %[2]s, to
// do something in the schema, which is %[1]s.
const (
	adviceUse = "GRANT USAGE ON SCHEMA %[1]s TO %[2]s; " +
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %[1]s TO %[2]s"
	adviceSchema = "CREATE SCHEMA %[1]s AUTHORIZATION %[2]s"
	adviceTables = "GRANT USAGE, CREATE ON SCHEMA %[1]s TO %[2]s"
	adviceChange = "GRANT %[2]s the role that owns the tables of %[1]s, or start the program once as it"
)

// denied says what to do about an error for want of rights.
func (m *migration) denied(what string, err error, advice string) error {
	if sqlCode(err) != "42501" {
		return fmt.Errorf("work store: %s: %w", what, withoutData(err))
	}
	return fmt.Errorf("db: an administrator has to run: %s; because: %w",
		fmt.Sprintf(advice, m.schema(), m.role), withoutData(err))
}

// run takes no locks and needs no rights but to read if the tables are up to
// date.
func (m *migration) run(ctx context.Context, conn *sql.Conn) (err error) {
	if m.files, err = fs.Glob(migrations, "migrations/postgres/*.sql"); err != nil { // sorted
		return err
	}
	if version, err := m.version(ctx, conn); err != nil || version == len(m.files) {
		return err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return m.denied("migrate", err, adviceUse)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := m.inTx(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return m.denied("migrate", err, adviceUse)
	}
	return nil
}

// The versions of a schema that is not there, and of one without tables.
const (
	noSchema = -1
	noTables = 0
)

// version returns the version of the tables. One that is not known is an error.
func (m *migration) version(ctx context.Context, q interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
},
) (version int, err error) {
	err = q.QueryRowContext(ctx, m.text(sqlPostgresTables), m.cfg.Schema, m.schema()+".schema_version").Scan(&version)
	if err == nil && version > noTables {
		err = q.QueryRowContext(ctx, m.text(sqlPostgresVersion)).Scan(&version)
	}
	if err != nil {
		return 0, m.denied("migrate", err, adviceUse)
	}
	if version > len(m.files) {
		return 0, fmt.Errorf("db: its tables have version %d, this program knows them up to %d; use a newer program",
			version, len(m.files))
	}
	return version, nil
}

// inTx does what is to be done, while others that start wait.
func (m *migration) inTx(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", "konnektor "+m.cfg.Schema); err != nil {
		return m.denied("migrate", err, adviceUse)
	}
	version, err := m.version(ctx, tx)
	if err != nil {
		return err
	}
	if version == noSchema {
		if _, err := tx.ExecContext(ctx, "CREATE SCHEMA "+m.schema()); err != nil {
			return m.denied("migrate", err, adviceSchema)
		}
		version = noTables
	}
	advice := adviceChange
	if version == noTables {
		advice = adviceTables
		const table = "CREATE TABLE {schema}.schema_version (version integer NOT NULL)"
		if _, err := tx.ExecContext(ctx, m.inSchema(table)); err != nil {
			return m.denied("migrate", err, advice)
		}
	}
	for i, file := range m.files[version:] {
		text, err := migrations.ReadFile(file)
		if err == nil {
			_, err = tx.ExecContext(ctx, m.inSchema(string(text)))
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, m.inSchema("INSERT INTO {schema}.schema_version (version) VALUES ($1)"), version+i+1)
		}
		if err != nil {
			return m.denied("migrate with "+file, err, advice)
		}
	}
	return nil
}

func (m *migration) inSchema(text string) string {
	return strings.ReplaceAll(text, "{schema}", m.schema())
}
