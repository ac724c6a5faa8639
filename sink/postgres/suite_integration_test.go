//go:build integration

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
	"github.com/konnektor-go/konnektor/testkit/sinktest"
)

// system is a database for the suite: a superuser's pool, and one of a user who
// can be refused and whose connections can be cut.
type system struct {
	db      *counting
	pool    *pgxpool.Pool
	down    atomic.Bool
	t       *testing.T
	foreign string // the table with the column note, found by its column key
	key     string
}

func newSystem(t *testing.T, sql, foreign, key string) *system {
	t.Helper()
	s := &system{db: database(t, sql), t: t, foreign: foreign, key: key}
	s.refuse(false)
	config := asStranger(t, s.db).Config()
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if s.down.Load() {
			return nil, &net.OpError{Op: "dial", Err: errors.New("cut by the test")}
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	var err error
	s.pool, err = pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(s.pool.Close)
	return s
}

func (s *system) setDown(down bool) {
	s.down.Store(down)
	s.pool.Reset()
}

func (s *system) refuse(refuse bool) {
	sql := "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC"
	if refuse {
		sql = "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC"
	}
	_, err := s.db.Exec(context.Background(), sql)
	require.NoError(s.t, err)
}

func (s *system) note(key entity.Key) (note string, err error) {
	err = s.db.QueryRow(context.Background(), "SELECT note FROM "+s.foreign+" WHERE "+s.key+" = $1", key.ID).Scan(&note)
	return note, err
}

func (s *system) setNote(key entity.Key, note string) error {
	_, err := s.db.Exec(context.Background(), "UPDATE "+s.foreign+" SET note = $2 WHERE "+s.key+" = $1", key.ID, note)
	return err
}

func (s *system) duplicate(sql string) func(entity.Key) error {
	return func(key entity.Key) error {
		_, err := s.db.Pool.Exec(context.Background(), sql, key.ID)
		return err
	}
}

func (s *system) drop(constraint string) {
	_, err := s.db.Pool.Exec(context.Background(), "ALTER TABLE "+s.foreign+" DROP CONSTRAINT "+constraint)
	require.NoError(s.t, err)
}

type account struct {
	Name       string
	Email      *string
	DisabledAt *time.Time `db:"disabled_at"`
}

const accounts = `CREATE TABLE accounts (id text PRIMARY KEY, name text NOT NULL CHECK (name <> 'forbidden'), email text, disabled_at timestamptz,
	note text NOT NULL DEFAULT '', version bigint NOT NULL DEFAULT 1)`

func accountHarness(cfg postgres.Config) func(t *testing.T) sinktest.Harness[account] {
	return func(t *testing.T) sinktest.Harness[account] {
		s := newSystem(t, accounts, "accounts", "id")
		return sinktest.Harness[account]{
			Target: table[account](t, s.pool, "accounts", cfg),
			Want: func(n, version int) account {
				return account{Name: fmt.Sprintf("name %d.%d", n, version), Email: new(fmt.Sprintf("%d.%d@example.org", n, version))}
			},
			Text:    func(_ int, text string) account { return account{Name: text, Email: &text} },
			Refused: func(n int) account { return account{Name: "forbidden", Email: new(fmt.Sprint(n))} },
			Foreign: s.note, SetForeign: s.setNote, Down: s.setDown, Refuse: s.refuse,
			Duplicate: func(key entity.Key) error {
				s.drop("accounts_pkey")
				return s.duplicate("INSERT INTO accounts SELECT * FROM accounts WHERE id = $1")(key)
			},
			Removal: sink.Removal[account]{
				Disable: func(have account, since time.Time) account { have.DisabledAt = &since; return have },
				Disabled: func(have account) (time.Time, bool) {
					if have.DisabledAt == nil {
						return time.Time{}, false
					}
					return *have.DisabledAt, true
				},
			},
		}
	}
}

func TestSuite(t *testing.T) { sinktest.Run(t, sinktest.Config{}, accountHarness(postgres.Config{})) }

func TestSuiteWithVersion(t *testing.T) {
	sinktest.Run(t, sinktest.Config{}, accountHarness(postgres.Config{Version: "version"}))
}

// member has an Optional for each of its attributes, and children.
type member struct {
	Name        sink.Optional[string]
	Active      sink.Optional[bool]
	DisabledAt  sink.Optional[time.Time] `db:"disabled_at"`
	Employments []employment
	Emails      sink.Optional[[]email]
}

func TestSuiteWithChildren(t *testing.T) {
	for _, version := range []string{"", "version"} {
		t.Run("version column "+version, func(t *testing.T) {
			cfg := employeesConfig()
			cfg.Version = version
			sinktest.Run(t, sinktest.Config{}, func(t *testing.T) sinktest.Harness[member] { return memberHarness(t, cfg) })
		})
	}
}

func memberHarness(t *testing.T, cfg postgres.Config) sinktest.Harness[member] {
	t.Helper()
	s := newSystem(t, employees+"; ALTER TABLE employee ADD active bool, ADD disabled_at timestamptz, ADD version int", "employee", "number")
	full, over := 100.0, 100.5
	memberOf := func(name string, rows ...employment) member {
		return member{
			Name: sink.Set(name), Active: sink.Set(true), DisabledAt: sink.Null[time.Time](),
			Employments: rows, Emails: sink.Set([]email{{name + "@example.org"}, {name}}),
		}
	}
	return sinktest.Harness[member]{
		Target: table[member](t, s.pool, "employee", cfg),
		Want: func(n, version int) member {
			return memberOf(fmt.Sprintf("name %d.%d", n, version), employment{"professor", day(version), &full},
				employment{fmt.Sprint("position ", version), day(1), nil})
		},
		Text:    func(_ int, text string) member { return memberOf(text, employment{text, day(1), nil}) },
		Refused: func(int) member { return memberOf("name", employment{"dean", day(1), &over}) },
		Foreign: s.note, SetForeign: s.setNote, Down: s.setDown, Refuse: s.refuse,
		Duplicate: func(key entity.Key) error {
			s.drop("employee_number_key")
			return s.duplicate("INSERT INTO employee (number, name) SELECT number, name FROM employee WHERE number = $1")(key)
		},
		Removal: sink.Removal[member]{
			Disable: func(have member, since time.Time) member {
				have.Active, have.DisabledAt, have.Employments = sink.Set(false), sink.Set(since), nil
				return have
			},
			Disabled: func(have member) (time.Time, bool) { return have.DisabledAt.Get() },
		},
	}
}
