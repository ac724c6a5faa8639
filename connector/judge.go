package connector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
)

// patience is how often one entity may find a system unavailable that answers
// others before that counts as the entity's own failure.
const patience = 10

// judge turns what came of a run into its outcome, and tells the breakers.
func (r *run) judge() work.Outcome {
	o := work.Outcome{Lease: r.lease}
	if r.err == nil {
		r.answered(r.source, r.sourceProbe, fetching)
		r.answered(r.sink, r.sinkProbe, writing)
		o.Result, o.Next, o.Present, o.Summary = work.Done, r.rep.recheck, r.rep.present, r.rep.change.String()
		o.Fingerprint, o.Marks = r.fingerprint(), marksOf(r.lease, r.rep.marks)
		return o
	}
	o.Summary = r.redact(r.err)
	if r.ctx.Err() != nil { // stopped: nobody's failure
		r.abandoned()
		o.Result, o.Next = work.Released, r.lease.Due
		return o
	}
	class := failure.Of(r.err)
	if class == failure.Unavailable {
		if r.unavailable(o.Summary, failure.RetryAfter(r.err)) { // the breaker does the waiting
			o.Result = work.Released // to the end of the queue: the next probe is another's
			return o
		}
		if r.lease.Deferrals < patience {
			o.Result = work.Deferred
			o.Next = time.Now().Add(delay(r.lease.Deferrals, time.Second, 5*time.Minute))
			return o
		}
	} else {
		r.failed()
	}
	o.Result, o.Next = r.flow.retry.next(r.lease, class)
	o.Group, o.Marks = groupOf(class, o.Summary), marksOf(r.lease, r.rep.marks)
	return o
}

// answered tells a breaker that its system is there.
func (l *loop) answered(b *breaker, probe bool, stage string) {
	if b.answered(probe) {
		l.log.Info("available again", "stage", stage)
	}
}

// failed tells the breakers that the entity failed though the systems were there.
func (r *run) failed() {
	r.answered(r.source, r.sourceProbe, fetching)
	if r.rep.stage == writing {
		r.answered(r.sink, r.sinkProbe, writing)
	} else {
		r.sink.abandoned(r.sinkProbe)
	}
}

// unavailable tells the breakers that the run found a system unavailable: the
// target when it was writing, before that the source or what the mapping asks.
// It returns whether the flow has to wait for the system.
func (r *run) unavailable(reason string, retryAfter time.Duration) bool {
	b, probe := r.source, r.sourceProbe
	if r.rep.stage == writing {
		r.answered(r.source, r.sourceProbe, fetching)
		b, probe = r.sink, r.sinkProbe
	} else {
		r.sink.abandoned(r.sinkProbe)
	}
	open, opened := b.unavailable(probe, reason, retryAfter)
	if opened {
		r.log.Warn("unavailable, waiting", "error", reason)
	}
	return open
}

// abandoned tells the breakers that the run says nothing about the systems.
func (r *run) abandoned() {
	r.source.abandoned(r.sourceProbe)
	r.sink.abandoned(r.sinkProbe)
}

// next decides on an entity that failed by itself.
func (r Retry) next(lease work.Lease, class failure.Class) (work.Result, time.Time) {
	now := time.Now()
	late := !lease.FirstFailure.IsZero() && now.Sub(lease.FirstFailure) >= r.For
	if class == failure.Rejected || lease.Attempts+1 >= r.Attempts || late {
		return work.GaveUp, time.Time{}
	}
	return work.Failed, now.Add(delay(lease.Attempts, r.Min, r.Max))
}

// delay returns the n-th of the delays from first to longest, from 0.
func delay(n int, first, longest time.Duration) time.Duration {
	b := newBackOff(first, longest)
	for range n {
		b.NextBackOff()
	}
	return b.NextBackOff()
}

// fingerprint returns a keyed hash of what a run applied, nil if that was
// nothing or cannot be written as JSON.
func (r *run) fingerprint() []byte {
	if !r.rep.present {
		return nil
	}
	value, err := json.Marshal(r.rep.value)
	if err != nil {
		return nil
	}
	return r.hasher.Sum([]byte("applied"), []byte{0}, value)[:16]
}

// groupOf names the cause of a failure: its class, and what it says without
// whatever is of the entity, such as numbers, hashes and quoted values.
func groupOf(class failure.Class, summary string) string {
	text := specific.ReplaceAllLiteralString(summary, "*")
	sum := sha256.Sum256([]byte(class.String() + ": " + text))
	return hex.EncodeToString(sum[:4])
}

// specific is what differs between errors of the same cause.
var specific = regexp.MustCompile(`"[^"]*"|[a-z2-7]{16}|[\p{L}\p{N}_-]*\p{N}[\p{L}\p{N}_-]*`)

// redact returns an error's text, in which the entity's ID, should somebody's
// error hold it, is replaced by its hash.
func (r *run) redact(err error) string {
	return replaceWord(err.Error(), r.lease.Key.ID, r.hasher.Hash(r.lease.Key))
}

// replaceWord replaces word in s wherever it is not part of a longer one.
func replaceWord(s, word, with string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, word)
		if !found || word == "" {
			b.WriteString(s)
			return b.String()
		}
		prev, _ := utf8.DecodeLastRuneInString(before)
		next, _ := utf8.DecodeRuneInString(after)
		b.WriteString(before)
		if inWord(prev) || inWord(next) {
			b.WriteString(word)
		} else {
			b.WriteString(with)
		}
		s = after
	}
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// report logs the run, each outcome with the level that an operator needs.
func (r *run) report() {
	o := &r.outcome
	level, text := slog.LevelDebug, "reconciled"
	switch o.Result {
	case work.Done:
		if r.rep.change.Op != sink.Unchanged {
			level = slog.LevelInfo
		}
	case work.Deferred, work.Released:
		text = string(o.Result)
	case work.Failed:
		level, text = slog.LevelWarn, "failed"
	case work.GaveUp:
		level, text = slog.LevelError, "parked"
	}
	if !r.log.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("entity", r.hasher.Hash(r.lease.Key)),
		slog.String("outcome", o.Summary),
		slog.Duration("took", time.Since(r.begun)),
		slog.String("transaction", r.tx),
	}
	if o.Result == work.Failed || o.Result == work.GaveUp {
		attrs = append(attrs, slog.Int("attempt", r.lease.Attempts+1))
	}
	if !o.Next.IsZero() {
		attrs = append(attrs, slog.Time("next", o.Next))
	}
	if p := (*panicError)(nil); errors.As(r.err, &p) {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	r.log.LogAttrs(context.Background(), level, text, attrs...) //nolint:sloglint // one of four constants, see above
}
