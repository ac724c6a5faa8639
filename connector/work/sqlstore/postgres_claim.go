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
	leases []work.Lease
}

// claims chooses the marks that are to lease their rows, nil if there are none.
func (h *held) claims(b *batch, now time.Time) (c *claims) {
	h.mu.Lock()
	defer h.mu.Unlock()
	flow, room := "", 0
	for i, r := range b.rows {
		if i == 0 || r.id.flow != flow {
			flow = r.id.flow
			room = h.claimRoomLocked(&c, flow, now)
		}
		if room > 0 && r.held.n == 0 && len(r.dated) == 0 && *r.top >= int32(work.Live) {
			r.claim = true
			room--
		}
	}
	return c
}

// claimRoomLocked returns how many rows of a flow can be claimed, for the owner of
// c, who is found if there is none yet.
func (h *held) claimRoomLocked(c **claims, flow string, now time.Time) int {
	for of, q := range h.ahead {
		room := q.most - len(q.leases)
		if of.flow != flow || room <= 0 || now.Sub(q.heard) > claimFor {
			continue
		}
		if *c == nil {
			*c = &claims{owner: of.owner, ttl: q.ttl, prefix: rand.Text() + "-"}
		}
		if of.owner == (*c).owner && q.ttl == (*c).ttl {
			return room
		}
	}
	return 0
}

// begin forgets what came of a try that failed.
func (c *claims) begin(asked time.Time) { c.leases, c.asked = nil, asked }

// args returns the arguments of [sqlPostgresMarks] about claims.
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
