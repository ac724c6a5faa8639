package connector

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/failure"
)

// observe begins the run's span, as a part of the trace that its notification
// belongs to.
func (r *run) observe() {
	m, lease, ctx := r.meter, &r.lease, r.ctx
	m.wait.Record(ctx, r.begun.Sub(lease.Due).Seconds(), m.opts.record...)
	if lease.Cause.Trace != "" && m.tracer != nil {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": lease.Cause.Trace})
	}
	r.ctx, r.span = m.span(ctx, m.name, trace.SpanKindConsumer)
	if r.span.IsRecording() {
		r.span.SetAttributes(m.meter.name, m.flow, attrEntity.String(r.hasher.Hash(lease.Key)),
			attrAttempt.Int(lease.Attempts+1), attrMessageID.String(lease.Cause.EventID))
	}
}

// observed ends the run's span, with the result that is stored, if one is.
func (r *run) observed(stored work.Result) {
	m, now, ctx := r.meter, time.Now(), r.ctx
	end := ending{string(stored), "none"}
	if stored == "" {
		end.outcome = "lost"
	}
	if stored == work.Done {
		end.change = r.rep.change.Op.String()
		if since, ok := lagsSince(r.lease); ok {
			m.lag.Record(ctx, max(0, now.Sub(since).Seconds()), m.opts.record...)
		}
	}
	m.reconciles.Add(ctx, 1, m.of(end).add...)
	m.duration.Record(ctx, now.Sub(r.begun).Seconds(), m.opts.record...)
	if r.span.IsRecording() {
		r.span.SetAttributes(attrOutcome.String(end.outcome), attrChange.String(end.change))
	}
	if r.err != nil {
		r.span.SetStatus(codes.Error, failure.Of(r.err).String())
	}
	r.span.End()
}

// lagsSince returns since when the target has lagged behind the notification that
// a run was for, and false if it was for another trigger or for a date that the
// mapping named: then the last mark was seen by a run before.
func lagsSince(lease work.Lease) (time.Time, bool) {
	switch c := lease.Cause; {
	case lease.Dirty == lease.Done || c.Time.IsZero():
		return time.Time{}, false
	case c.Kind == causeNotification:
		return c.Time, true
	default: // a retry is due at a time of its own
		return lease.Due, c.Kind == causeDate && lease.Attempts+lease.Deferrals == 0
	}
}

// observeStage begins a stage: in the run's status, the metrics and the trace. It
// returns the context for it.
func (r *run) observeStage(ctx context.Context, stage string) (context.Context, trace.Span) {
	r.enter(stage, time.Now())
	return r.meter.span(ctx, stage, trace.SpanKindInternal)
}

// observedStage ends a stage. The texts of errors are not for traces, they may hold
// more than an operator's log may.
func (r *run) observedStage(ctx context.Context, span trace.Span, stage string, err error) {
	m := r.meter
	m.stage.Record(ctx, time.Since(r.stage.Load().since).Seconds(), m.stages[stage].record...)
	if err != nil {
		span.SetStatus(codes.Error, failure.Of(err).String())
	}
	span.End()
}
