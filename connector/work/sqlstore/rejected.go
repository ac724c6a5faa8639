package sqlstore

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/konnektor-go/konnektor/connector/work"
)

const (
	sqlReject = `INSERT INTO konnektor_rejected (received, reason, routing_key, payload, metadata)
VALUES ($1, $2, $3, $4, $5)`

	sqlListRejected = `SELECT rid, received, reason, routing_key, payload, metadata
FROM konnektor_rejected ORDER BY rid DESC LIMIT $1`
)

// Reject implements [work.Store]. Metadata are kept as JSON, so that bytes which
// are not UTF-8 come back as U+FFFD; a payload comes back as it was.
func (s *Store) Reject(ctx context.Context, rejected []work.Rejected) error {
	return s.transact(ctx, "reject", func(ss session) error {
		for _, r := range rejected {
			metadata, err := json.Marshal(r.Metadata)
			if err != nil {
				return err
			}
			_, err = ss.stmt(sqlReject).ExecContext(ss.ctx,
				stamp(r.Received), r.Reason, r.RoutingKey, r.Payload, string(metadata))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ListRejected implements [work.Store].
func (s *Store) ListRejected(ctx context.Context, limit int) ([]work.Rejected, error) {
	var newest []work.Rejected
	err := s.transact(ctx, "list rejected", func(ss session) error {
		rows, err := ss.stmt(sqlListRejected).QueryContext(ss.ctx, max(limit, 0))
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // Err says what matters
		for rows.Next() {
			var r work.Rejected
			var rid int64
			var metadata []byte
			err := rows.Scan(&rid, (*stamp)(&r.Received), &r.Reason, &r.RoutingKey, &r.Payload, &metadata)
			if err == nil {
				err = json.Unmarshal(metadata, &r.Metadata)
			}
			if err != nil {
				return err
			}
			r.ID = strconv.FormatInt(rid, 10)
			newest = append(newest, r)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return newest, nil
}
