package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

const (
	sqlPostgresReject = `INSERT INTO {schema}.rejected
	(received, reason, topic, routing_key, uuid, metadata, payload, size)
SELECT received, reason, topic, routing_key, uuid, metadata, payload, size
FROM unnest($1::timestamptz[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[], $8::bigint[])
	WITH ORDINALITY AS r (received, reason, topic, routing_key, uuid, metadata, payload, size, num)
ORDER BY num`

	sqlPostgresRejected = `SELECT id, received, reason, topic, routing_key, uuid, metadata, payload, size
FROM {schema}.rejected WHERE `

	sqlPostgresListRejected = sqlPostgresRejected + `id < $1 ORDER BY id DESC LIMIT $2`

	sqlPostgresGetRejected = sqlPostgresRejected + `id = $1`

	sqlPostgresDeleteRejected = `DELETE FROM {schema}.rejected WHERE id = ANY($1::bigint[])`

	sqlPostgresPruneRejected = `DELETE FROM {schema}.rejected WHERE id = ANY(ARRAY(
	SELECT id FROM {schema}.rejected WHERE received < $1 ORDER BY received LIMIT $2
))`
)

// Reject implements [work.Store].
func (p *Postgres) Reject(ctx context.Context, rejected []work.Rejected) error {
	n := len(rejected)
	received, sizes := make([]*time.Time, n), make([]int64, n)
	reasons, topics, routing, uuids := make([][]byte, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
	metadata, payloads := make([][]byte, n), make([][]byte, n)
	for i, r := range rejected {
		received[i], sizes[i] = instant(r.Received), int64(r.Size)
		reasons[i], topics[i], routing[i], uuids[i] = []byte(r.Reason), []byte(r.Topic), []byte(r.RoutingKey), []byte(r.UUID)
		payloads[i] = r.Payload
		metadata[i], _ = json.Marshal(eachText(r.Metadata, toJSON)) // never fails with texts
	}
	_, err := p.change(ctx, "reject", sqlPostgresReject, received, reasons, topics, routing, uuids, metadata, payloads, sizes)
	return err
}

// ListRejected implements [work.Store].
func (p *Postgres) ListRejected(ctx context.Context, before string, limit int) ([]work.Rejected, error) {
	id, known := ridOf(before)
	if before == "" {
		id, known = math.MaxInt64, true
	}
	if !known {
		return nil, ctx.Err()
	}
	return p.rejected(ctx, "list rejected", sqlPostgresListRejected, id, max(limit, 0))
}

// GetRejected implements [work.Store].
func (p *Postgres) GetRejected(ctx context.Context, id string) (work.Rejected, bool, error) {
	number, known := ridOf(id)
	if !known {
		return work.Rejected{}, false, ctx.Err()
	}
	all, err := p.rejected(ctx, "get rejected", sqlPostgresGetRejected, number)
	if err != nil || len(all) == 0 {
		return work.Rejected{}, false, err
	}
	return all[0], true, nil
}

func (p *Postgres) rejected(ctx context.Context, what, template string, args ...any) ([]work.Rejected, error) {
	var all []work.Rejected
	err := p.call(ctx, what, func(ctx context.Context, conn *sql.Conn) error {
		all = nil
		return p.each(ctx, conn, func(rows *sql.Rows) error {
			var r work.Rejected
			var id int64
			var reason, topic, routing, uuid, metadata []byte
			err := rows.Scan(&id, (*timestamp)(&r.Received), &reason, &topic, &routing, &uuid, &metadata, &r.Payload, &r.Size)
			if err == nil {
				err = json.Unmarshal(metadata, &r.Metadata)
			}
			r.ID = strconv.FormatInt(id, 10)
			r.Reason, r.Topic, r.RoutingKey, r.UUID = string(reason), string(topic), string(routing), string(uuid)
			r.Metadata = eachText(r.Metadata, fromJSON)
			all = append(all, r)
			return err
		}, template, args...)
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// DeleteRejected implements [work.Store].
func (p *Postgres) DeleteRejected(ctx context.Context, ids []string) (int, error) {
	numbers := make([]int64, 0, len(ids))
	for _, id := range ids {
		if number, known := ridOf(id); known {
			numbers = append(numbers, number)
		}
	}
	n, err := p.change(ctx, "delete rejected", sqlPostgresDeleteRejected, numbers)
	return int(n), err
}

// PruneRejected implements [work.Store].
func (p *Postgres) PruneRejected(ctx context.Context, before time.Time, limit int) (int, error) {
	return p.prune(ctx, "prune rejected", sqlPostgresPruneRejected, before, limit)
}
