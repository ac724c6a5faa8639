package sqlstore

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/konnektor-go/konnektor/connector/work"
)

const (
	sqlReject = `INSERT INTO konnektor_rejected
	(received, reason, topic, routing_key, uuid, metadata, payload, size)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

	sqlRejected = `SELECT rid, received, reason, topic, routing_key, uuid, metadata, payload, size
FROM konnektor_rejected WHERE `

	sqlListRejected = sqlRejected + `rid < $1 ORDER BY rid DESC LIMIT $2`

	sqlGetRejected = sqlRejected + `rid = $1`

	sqlDeleteRejected = `DELETE FROM konnektor_rejected WHERE rid = $1`

	sqlPruneRejected = `DELETE FROM konnektor_rejected WHERE rid IN (
	SELECT rid FROM konnektor_rejected WHERE received < $1 ORDER BY received LIMIT $2
)`
)

// Reject implements [work.Store].
func (s *SQLite) Reject(ctx context.Context, rejected []work.Rejected) error {
	return s.hold(ctx, "reject", func(ss *session) error {
		if err := ss.begin(); err != nil {
			return err
		}
		insert := ss.stmt(sqlReject)
		for _, r := range rejected {
			metadata, err := json.Marshal(eachText(r.Metadata, toJSON))
			if err != nil {
				return err
			}
			_, err = insert.ExecContext(ss.ctx, stamp(r.Received), r.Reason, r.Topic, r.RoutingKey, r.UUID,
				string(metadata), r.Payload, r.Size)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ListRejected implements [work.Store].
func (s *SQLite) ListRejected(ctx context.Context, before string, limit int) ([]work.Rejected, error) {
	var newest []work.Rejected
	err := s.transact(ctx, "list rejected", func(ss *session) error {
		rid, known := ridOf(before)
		if before == "" {
			rid = math.MaxInt64
		} else if !known {
			return nil
		}
		rows, err := ss.stmt(sqlListRejected).QueryContext(ss.ctx, rid, max(limit, 0))
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // Err says what matters
		for rows.Next() {
			r, err := scanRejected(rows)
			if err != nil {
				return err
			}
			newest = append(newest, r)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return newest, nil
}

// GetRejected implements [work.Store].
func (s *SQLite) GetRejected(ctx context.Context, id string) (r work.Rejected, found bool, err error) {
	err = s.transact(ctx, "get rejected", func(ss *session) error {
		rid, known := ridOf(id)
		if !known {
			return nil
		}
		r, err = scanRejected(ss.stmt(sqlGetRejected).QueryRowContext(ss.ctx, rid))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		found = err == nil
		return err
	})
	if err != nil || !found {
		return work.Rejected{}, false, err
	}
	return r, true, nil
}

// DeleteRejected implements [work.Store].
func (s *SQLite) DeleteRejected(ctx context.Context, ids []string) (int, error) {
	return s.countChanges(ctx, "delete rejected", func(ss *session) (total int64, err error) {
		for _, id := range ids {
			rid, known := ridOf(id)
			if !known {
				continue
			}
			n, err := changes(ss.stmt(sqlDeleteRejected).ExecContext(ss.ctx, rid))
			if err != nil {
				return 0, err
			}
			total += n
		}
		return total, nil
	})
}

// PruneRejected implements [work.Store].
func (s *SQLite) PruneRejected(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.countChanges(ctx, "prune rejected", func(ss *session) (int64, error) {
		return changes(ss.stmt(sqlPruneRejected).ExecContext(ss.ctx, stamp(before), max(limit, 0)))
	})
}

// countChanges is transact for what returns a number of rows.
func (s *SQLite) countChanges(ctx context.Context, what string, f func(*session) (int64, error)) (int, error) {
	var n int64
	err := s.transact(ctx, what, func(ss *session) (err error) {
		n, err = f(ss)
		return err
	})
	if err != nil {
		return 0, err
	}
	return int(n), nil
}

func changes(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// ridOf returns the row of an ID, and false if it is none that Reject gave.
func ridOf(id string) (int64, bool) {
	rid, err := strconv.ParseInt(id, 10, 64)
	return rid, err == nil && strconv.FormatInt(rid, 10) == id
}

func scanRejected(row interface{ Scan(dest ...any) error }) (r work.Rejected, err error) {
	var rid int64
	var metadata []byte
	err = row.Scan(&rid, (*stamp)(&r.Received), &r.Reason, &r.Topic, &r.RoutingKey, &r.UUID, &metadata, &r.Payload, &r.Size)
	if err == nil {
		err = json.Unmarshal(metadata, &r.Metadata)
	}
	r.ID = strconv.FormatInt(rid, 10)
	r.Metadata = eachText(r.Metadata, fromJSON)
	return r, err
}

// eachText returns metadata with keys and values changed by f.
func eachText(metadata map[string]string, f func(string) string) map[string]string {
	if metadata == nil {
		return nil
	}
	changed := make(map[string]string, len(metadata))
	for key, value := range metadata {
		changed[f(key)] = f(value)
	}
	return changed
}

// asBase64 stands before texts that JSON cannot hold as they are: a header may
// be of any bytes, and one that came back different would name another entity.
const asBase64 = "\x00"

func toJSON(text string) string {
	if utf8.ValidString(text) && !strings.HasPrefix(text, asBase64) {
		return text
	}
	return asBase64 + base64.StdEncoding.EncodeToString([]byte(text))
}

func fromJSON(text string) string {
	encoded, found := strings.CutPrefix(text, asBase64)
	if b, err := base64.StdEncoding.DecodeString(encoded); found && err == nil {
		return string(b)
	}
	return text
}
