//go:build integration

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/connector/work/storetest"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
)

func TestPostgres(t *testing.T) {
	open := openIn(server.SharedPostgreSQL(t).NewDatabase(t))
	storetest.Run(t, open)
	storetest.RunDurable(t, open)
	storetest.RunShared(t, open)
}

var notInSchema = regexp.MustCompile("[^a-z0-9]+")

// openIn returns a function that opens the store of a folder in a database, each
// in a schema of its own, by the clock of the test's bubble. Stores of one folder
// tell each other what they have in memory: the suite compares all that can be
// seen after each call, whoever made it.
func openIn(url string) storetest.Open {
	var mu sync.Mutex
	families := make(map[string]*family)
	return func(dir string) (work.Store, func() error, error) {
		db, err := sql.Open("pgx", url)
		if err != nil {
			return nil, nil, err
		}
		name := "t" + notInSchema.ReplaceAllString(strings.ToLower(dir), "_")
		cfg := PostgresConfig{Schema: name[:2] + name[max(2, len(name)-50):]}
		p, err := newPostgres(context.Background(), db, cfg, processClock)
		if err != nil {
			return nil, nil, errors.Join(err, db.Close())
		}
		mu.Lock()
		defer mu.Unlock()
		if families[dir] == nil {
			families[dir] = &family{}
		}
		s := &openStore{p, families[dir]}
		s.join()
		return s, func() error {
			s.leave()
			return db.Close()
		}, nil
	}
}

// family are the open stores of one folder.
type family struct {
	mu     sync.Mutex
	stores []*openStore
}

// openStore is a store of whose marks the others of its family know.
type openStore struct {
	*Postgres

	family *family
}

func (s *openStore) join() {
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	s.family.stores = append(s.family.stores, s)
}

func (s *openStore) leave() {
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	s.family.stores = slices.DeleteFunc(s.family.stores, func(o *openStore) bool { return o == s })
}

func (s *openStore) others() []*openStore {
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.family.stores), func(o *openStore) bool { return o == s })
}

// hear has the others write what they have in memory.
func (s *openStore) hear(ctx context.Context) error {
	for _, o := range s.others() {
		if err := o.writeHeld(ctx, func(rowID) bool { return true }); err != nil {
			return err
		}
	}
	return nil
}

// Mark counts what others have marked during the store's own leases, too.
func (s *openStore) Mark(ctx context.Context, marks []work.Mark) ([]int64, error) {
	if err := s.hear(ctx); err != nil {
		return nil, err
	}
	for _, m := range marks {
		if err := s.learn(ctx, rowID{m.Flow, m.Key}); err != nil {
			return nil, err
		}
	}
	return s.Postgres.Mark(ctx, marks)
}

// learn has the store know the number of a row, 0 if it is not there.
func (s *openStore) learn(ctx context.Context, id rowID) error {
	r := &markedRow{id: id}
	err := s.db.QueryRowContext(ctx, "SELECT dirty FROM "+s.schema()+".work WHERE flow = $1 AND type = $2 AND id = $3",
		id.flow, id.key.Type, id.key.ID).Scan(&r.dirty)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	s.held.wrote(&batch{rows: []*markedRow{r}})
	return nil
}

func (s *openStore) Lease(ctx context.Context, req work.LeaseRequest) ([]work.Lease, error) {
	if err := s.hear(ctx); err != nil {
		return nil, err
	}
	return s.Postgres.Lease(ctx, req)
}

func (s *openStore) Finish(ctx context.Context, outcomes []work.Outcome) ([]error, error) {
	if err := s.hear(ctx); err != nil {
		return nil, err
	}
	leases, lost := make([]work.Lease, len(outcomes)), make([]error, len(outcomes))
	for i, o := range outcomes {
		leases[i], lost[i] = o.Lease, work.ErrLeaseLost
	}
	errs, err := s.Postgres.Finish(ctx, outcomes)
	if err == nil {
		s.tell(leases, lost, time.Time{})
	}
	return errs, err
}

func (s *openStore) Renew(ctx context.Context, leases []work.Lease, ttl time.Duration) ([]error, error) {
	until := ends(time.Now(), ttl)
	errs, err := s.Postgres.Renew(ctx, leases, ttl)
	if err == nil {
		s.tell(leases, errs, until)
	}
	return errs, err
}

// tell tells the others what has become of leases, which may be theirs: the suite
// does not mind whose they are.
func (s *openStore) tell(leases []work.Lease, errs []error, until time.Time) {
	for _, o := range s.others() {
		o.held.renewed(leases, errs, until)
	}
}

func (s *openStore) Get(ctx context.Context, flow string, key entity.Key) (work.Row, bool, error) {
	if err := s.hear(ctx); err != nil {
		return work.Row{}, false, err
	}
	return s.Postgres.Get(ctx, flow, key)
}

func (s *openStore) List(ctx context.Context, q work.Query) ([]work.Row, error) {
	if err := s.hear(ctx); err != nil {
		return nil, err
	}
	return s.Postgres.List(ctx, q)
}

func (s *openStore) Forget(ctx context.Context, key entity.Key) (int, error) {
	if err := s.hear(ctx); err != nil {
		return 0, err
	}
	return s.Postgres.Forget(ctx, key)
}

// openPostgres opens a pool for a database, which the test closes.
func openPostgres(tb testing.TB, url string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("pgx", url)
	require.NoError(tb, err)
	db.SetMaxIdleConns(100)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return db
}
