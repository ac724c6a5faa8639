package connector

import (
	"context"
	"errors"
	"log/slog"
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

// judge turns what came of a run into its outcome, and tells the breaker.
func (l *loop) judge(ctx context.Context, r *run, rep report, err error) work.Outcome {
	o := work.Outcome{Lease: r.lease}
	if err == nil {
		if l.breaker.answered() {
			l.log.Info("available again")
		}
		o.Result, o.Next, o.Present, o.Summary = work.Done, rep.recheck, rep.present, rep.change.String()
		return o
	}
	o.Summary = l.redact(r.lease, err)
	if ctx.Err() != nil { // stopped: nobody's failure
		l.breaker.abandoned(r.probe)
		o.Result = work.Released
		return o
	}
	class := failure.Of(err)
	if class == failure.Unavailable {
		open, opened := l.breaker.unavailable(r.probe, failure.RetryAfter(err))
		if opened {
			l.log.Warn("unavailable, waiting", "error", o.Summary)
		}
		if open { // it does the waiting
			o.Result = work.Released
			return o
		}
		if r.lease.Deferrals < patience {
			o.Result = work.Deferred
			o.Next = time.Now().Add(delay(r.lease.Deferrals, time.Second, 5*time.Minute))
			return o
		}
	} else {
		l.breaker.answered()
	}
	o.Result, o.Next = l.flow.retry.next(r.lease, class)
	return o
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

// redact returns an error's text, in which the entity's ID, should somebody's
// error hold it, is replaced by its hash.
func (l *loop) redact(lease work.Lease, err error) string {
	return replaceWord(err.Error(), lease.Key.ID, l.hasher.Hash(lease.Key))
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

// report logs a run, each outcome with the level that an operator needs.
func (l *loop) report(r *run, tx string, rep report, err error, o work.Outcome) {
	level, text := slog.LevelDebug, "reconciled"
	switch o.Result {
	case work.Done:
		if rep.change.Op != sink.Unchanged {
			level = slog.LevelInfo
		}
	case work.Deferred, work.Released:
		text = string(o.Result)
	case work.Failed:
		level, text = slog.LevelWarn, "failed"
	case work.GaveUp:
		level, text = slog.LevelError, "parked"
	}
	attrs := []slog.Attr{
		slog.String("entity", l.hasher.Hash(r.lease.Key)),
		slog.String("outcome", o.Summary),
		slog.Duration("took", time.Since(r.begun)),
		slog.String("transaction", tx),
	}
	if o.Result == work.Failed || o.Result == work.GaveUp {
		attrs = append(attrs, slog.Int("attempt", r.lease.Attempts+1))
	}
	if !o.Next.IsZero() {
		attrs = append(attrs, slog.Time("next", o.Next))
	}
	if p := (*panicError)(nil); errors.As(err, &p) {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	l.log.LogAttrs(context.Background(), level, text, attrs...) //nolint:sloglint // one of four constants, see above
}
