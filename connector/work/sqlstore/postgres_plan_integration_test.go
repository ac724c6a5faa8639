//go:build integration

package sqlstore

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
)

// sqlManyRows makes 100,000 rows of a flow: most are done or wait for another
// day, hundreds of each other kind.
const sqlManyRows = `INSERT INTO {schema}.work
	(flow, type, id, dirty, done, due, priority, parked, present, finished, last_failure, failure_group, cause, token, lease_until)
SELECT 'people', 'persons', md5(n::text), 1, 1,
	CASE kind WHEN 0 THEN now() - n * interval '1 ms' WHEN 1 THEN now() - n * interval '1 ms'
		WHEN 5 THEN now() + n * interval '1 minute' WHEN 6 THEN now() + n * interval '1 minute' END,
	CASE kind WHEN 1 THEN -100 ELSE 0 END, kind = 2, kind <> 3, now() - n * interval '1 minute',
	CASE kind WHEN 2 THEN now() - n * interval '1 minute' END, CASE kind WHEN 2 THEN (n % 7)::text ELSE '' END::bytea,
	'{}', md5(n::text), CASE kind WHEN 4 THEN now() + interval '1 hour' END
FROM (SELECT n, CASE WHEN n % 2 = 0 THEN 9 WHEN n % 3 = 0 THEN 5 WHEN n % 100 < 10 THEN n % 100 / 2 ELSE 6 END AS kind
	FROM generate_series(1, 100000) AS n) AS r;
INSERT INTO {schema}.later SELECT flow, type, id, due FROM {schema}.work WHERE due > now();
INSERT INTO {schema}.rejected (received, reason, topic, routing_key, uuid, metadata, size)
SELECT now() - n * interval '1 minute', '', '', '', '', 'null', 0 FROM generate_series(1, 10000) AS n`

// planned is a statement with arguments, as SQL.
type planned struct {
	name, template, args string
	most                 int // rows that a step may give in all
	kind                 int
}

// What is expected of a statement.
const (
	byIndex = iota // with statistics and without
	listing        // by an index once there are statistics: it is asked for now and then
	reads          // it may read all
)

var planneds = []planned{
	{"mark", sqlPostgresMark, `{10 'people'::text}, {10 'persons'::text}, {ids},
		{10 1::bigint}, {10 0}, {10 0}, {10 now() + interval '1 day'},
		{10 0}, {10 'null'::text}, {10 now()}, NULL, NULL, NULL, NULL, NULL`, 10, byIndex},
	{"claim", sqlPostgresMark, `{10 'people'::text}, {10 'persons'::text}, {ids},
		{10 1::bigint}, {10 0}, {10 0}, {10 NULL::timestamptz},
		{10 0}, {10 'null'::text}, {10 now()}, NULL, {10 true}, 'me', 60000, 'token-'`, 10, byIndex},
	{"give back", sqlPostgresGiveBack, `{10 'people'::text}, {10 'persons'::text}, {ids}, {ids}, {10 now()}`, 10, byIndex},
	{"lease by priority", sqlPostgresLeaseByPriority, `'people', 10, 'me', 60000, 0, 'token-', -1000`, 10, byIndex},
	{"lease ahead", sqlPostgresLeaseByPriority, `'people', 10, 'me', 60000, 0, 'token-', 0`, 10, byIndex},
	{"lease by age", sqlPostgresLeaseByAge, `'people', 10, 'me', 60000, 0, 'token-'`, 10, byIndex},
	{"lease nothing", sqlPostgresLeaseByPriority, `'none', 10, 'me', 60000, 0, 'token-', -1000`, 10, byIndex},
	{"renew", sqlPostgresRenew, `{10 'people'::text}, {10 'persons'::text}, {ids},
		{ids}, 60000`, 10, byIndex},
	{"next due", sqlPostgresNextDue, `'people'`, 1, byIndex},
	{"finish", sqlPostgresFinish, `{10 'people'::text}, {10 'persons'::text}, {ids},
		{ids}, {10 'done'::text}, {10 NULL::timestamptz}, {10 true},
		{10 NULL::bytea}, {10 ''::bytea}, {10 ''::bytea}, {10 1::bigint}, {10 0}, {10 0::bigint},
		{10 'null'::text}, {10 now()}, {10 0::bigint}`, 10, byIndex},
	{"finish and lock", sqlPostgresFinishLocked, `{10 'people'::text}, {10 'persons'::text}, {ids},
		{ids}, {10 'done'::text}, {10 NULL::timestamptz}, {10 true},
		{10 NULL::bytea}, {10 ''::bytea}, {10 ''::bytea}, {10 1::bigint}, {10 0}, {10 0::bigint},
		{10 'null'::text}, {10 now()}, {10 0::bigint}`, 10, byIndex},
	{"get", sqlPostgresGet, `'people', 'persons', md5('3')`, 1, byIndex},
	{"list idle", sqlPostgresListIdle, `'people', '', '', '', 10`, 10, listing},
	{"list waiting", sqlPostgresListWaiting, `'people', '', '', '', 10`, 10, listing},
	{"list due", sqlPostgresListDue, `'people', '', '', '', 10`, 2000, listing},
	{"list running", sqlPostgresListRunning, `'people', '', '', '', 10`, 1000, listing},
	{"list parked", sqlPostgresListParked, `'people', '', '', '', 10`, 10, listing},
	{"list a group", sqlPostgresListParked, `'people', '', '', '3', 10`, 10, listing},
	{"upcoming", sqlPostgresUpcoming, `'people', now() + interval '1 year', '', '', 10`, 20, byIndex},
	{"stats", sqlPostgresStats, ``, 100_000, reads},
	{"parked groups", sqlPostgresParkedGroups, `'people'`, 1000, listing},
	{"prune idle", sqlPostgresPruneIdle, `now() - interval '1 hour', 10`, 10, byIndex},
	{"prune parked", sqlPostgresPruneParked, `now() - interval '1 hour', 10`, 10, listing},
	{"forget: lock", sqlPostgresLock, `'persons', md5('3')`, 2, byIndex},
	{"forget", sqlPostgresForget, `ARRAY['people'], 'persons', md5('3')`, 1, byIndex},
	{"list rejected", sqlPostgresListRejected, `1000000, 10`, 10, byIndex},
	{"get rejected", sqlPostgresGetRejected, `7`, 1, byIndex},
	{"delete rejected", sqlPostgresDeleteRejected, `ARRAY[7, 8]`, 2, byIndex},
	{"prune rejected", sqlPostgresPruneRejected, `now() - interval '1 hour', 10`, 10, byIndex},
}

const noIDs = "'{0,1,2,3,4,5,6,7,8,9}'::text[]"

// tenOf stands for an array of ten times the same.
var tenOf = regexp.MustCompile(`\{10 ([^}]*)\}`)

// lines returns the lines that a query gives.
func lines(t *testing.T, q querier, query string) string {
	t.Helper()
	rows, err := q.QueryContext(t.Context(), query)
	require.NoError(t, err, query)
	var all []string
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		all = append(all, line)
	}
	require.NoError(t, rows.Err())
	return strings.Join(all, "\n")
}

// Every statement finds its rows by an index among 100,000, and reads none in
// vain, by a plan for its arguments and by one for any. So do those of the
// reconcile loop when there are no statistics, and by plans that were made when
// the tables were empty. The listing of due rows may sort those of the flow;
// Stats reads all.
func TestPostgresPlans(t *testing.T) {
	db := openPostgres(t, server.SharedPostgreSQL(t).NewDatabase(t))
	p, err := NewPostgres(t.Context(), db, PostgresConfig{})
	require.NoError(t, err)
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	exec := func(text string) {
		_, err := conn.ExecContext(t.Context(), strings.ReplaceAll(text, "{schema}", p.schema()))
		require.NoError(t, err, text)
	}
	for i, c := range planneds {
		exec(fmt.Sprintf("PREPARE p%d AS %s", i, p.text(c.template)))
	}
	check := func(name string, kinds int, ids string) {
		for i, c := range planneds {
			if c.kind > kinds {
				continue
			}
			t.Run(name+"/"+c.name, func(t *testing.T) {
				args := tenOf.ReplaceAllString(strings.ReplaceAll(c.args, "{ids}", ids), "array_fill($1, ARRAY[10])")
				if args != "" {
					args = "(" + args + ")"
				}
				exec("BEGIN")
				plan := lines(t, conn, fmt.Sprintf("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE p%d%s", i, args))
				exec("ROLLBACK")
				if ids != noIDs {
					checkPlan(t, c, plan)
				}
			})
		}
	}
	exec("ALTER TABLE {schema}.work SET (autovacuum_enabled = off); ALTER TABLE {schema}.later SET (autovacuum_enabled = off)")
	exec("SET plan_cache_mode = force_generic_plan")
	check("made when empty", byIndex, noIDs)
	exec(sqlManyRows)
	ids := "ARRAY['" + strings.ReplaceAll(lines(t, conn, "SELECT id FROM "+p.schema()+
		".work WHERE lease_until > now() ORDER BY id LIMIT 10"), "\n", "','") + "']"
	check("made when empty, used when full", byIndex, ids)
	exec("DISCARD PLANS")
	check("generic, no statistics", byIndex, ids)
	exec("SET plan_cache_mode = force_custom_plan")
	check("custom, no statistics", byIndex, ids)
	exec("ANALYZE")
	check("custom", reads, ids)
	exec("SET plan_cache_mode = force_generic_plan")
	check("generic", reads, ids)
}

var steps = regexp.MustCompile(`actual rows=(\d+) loops=(\d+)`)

func checkPlan(t *testing.T, c planned, plan string) {
	if c.kind != reads {
		require.NotRegexp(t, `Seq Scan on (work|later|rejected)`, plan)
	}
	switch c.template {
	case sqlPostgresLeaseByPriority:
		require.NotContains(t, plan, "work_age") // in which a few live rows stand among much bulk
	case sqlPostgresLeaseByAge, sqlPostgresNextDue:
		require.NotContains(t, plan, "work_priority")
	}
	for _, step := range steps.FindAllStringSubmatch(plan, -1) {
		rows, err := strconv.Atoi(step[1])
		require.NoError(t, err)
		loops, err := strconv.Atoi(step[2])
		require.NoError(t, err)
		require.LessOrEqual(t, rows*loops, c.most, plan)
	}
}
