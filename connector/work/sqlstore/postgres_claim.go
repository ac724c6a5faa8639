package sqlstore

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// claimFor is for how long marks lease their rows after the last request for
// leases: somebody has to be there for them.
const claimFor = time.Second

// claims are those marks of a batch that lease their rows at once, ahead of their
// runs. So a row is written twice until it is done, instead of three times.
type claims struct {
	owner  string
	ttl    time.Duration
	prefix string // of the tokens
	asked  time.Time
	leases []work.Lease // all since the time of the statement
}

// claims chooses the marks that are to lease their rows, nil if there are none.
func (h *held) claims(b *batch, now time.Time) (c *claims) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for of, q := range h.ahead {
		room := q.room(now)
		if room == 0 || q.behind || now.Sub(q.heard) > claimFor || c != nil && (c.owner != of.owner || c.ttl != q.ttl) {
			continue
		}
		if c == nil {
			c = &claims{owner: of.owner, ttl: q.ttl, prefix: rand.Text() + "-"}
		}
		for _, r := range b.rows {
			if r.id.flow != of.flow || r.held.n > 0 || len(r.dated) > 0 || *r.top < int32(work.Live) {
				continue
			}
			if room == 0 {
				q.behind = true
				break
			}
			r.claim = true
			room--
		}
	}
	return c
}

// reset forgets what came of a try that failed.
func (c *claims) reset(asked time.Time) { c.leases, c.asked = nil, asked }

// args returns the arguments of sqlPostgresMark about claims.
func (c *claims) args(rows []*markedRow) []any {
	if c == nil {
		return []any{[]bool(nil), []byte(nil), (*int64)(nil), (*string)(nil)}
	}
	wanted := make([]bool, len(rows))
	for i, r := range rows {
		wanted[i] = r.claim
	}
	return []any{wanted, []byte(c.owner), c.ttl.Milliseconds(), c.prefix}
}

// got takes a row as it was stored, with its Done number, priority and token, and
// the time, if it was claimed.
func (c *claims) got(r *markedRow, l work.Lease) {
	if !strings.HasPrefix(l.Token, c.prefix) {
		return
	}
	l.Flow, l.Key, l.Dirty, l.Cause = r.id.flow, r.id.key, r.dirty, storedCause(r.cause)
	l.Until = time.UnixMilli(c.asked.UnixMilli() + c.ttl.Milliseconds()).UTC()
	c.leases = append(c.leases, l)
}

// keepClaimed keeps what was claimed, see [held.keep].
func (h *held) keepClaimed(c *claims) (late []work.Lease) {
	if len(c.leases) == 0 {
		return nil
	}
	return h.keep(c.owner, c.leases, c.asked, c.leases[0].Due, c.ttl)
}
