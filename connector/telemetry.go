package connector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/konnektor-go/konnektor/connector/work"
)

// scope names the instrumentation, as OpenTelemetry has it.
const scope = "github.com/konnektor-go/konnektor/connector"

// The attributes of metrics and spans. None holds personal data.
const (
	attrConnector = attribute.Key("konnektor.connector")
	attrFlow      = attribute.Key("konnektor.flow")
	attrTopic     = attribute.Key("konnektor.topic")
	attrOutcome   = attribute.Key("konnektor.outcome")
	attrChange    = attribute.Key("konnektor.change")
	attrStage     = attribute.Key("konnektor.stage")
	attrState     = attribute.Key("konnektor.state")
	attrSystem    = attribute.Key("konnektor.system")
	attrEntity    = attribute.Key("konnektor.entity")
	attrAttempt   = attribute.Key("konnektor.attempt")
	attrMessageID = attribute.Key("messaging.message.id")
)

// seconds are the bounds of the histograms of durations: from an answer out of
// a cache to a day.
var seconds = metric.WithExplicitBucketBoundaries(
	.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 6*3600, 24*3600)

// meter has the instruments of a connector. See the package comment for what
// they mean.
type meter struct {
	name          attribute.KeyValue
	notifications metric.Int64Counter
	reconciles    metric.Int64Counter
	duration      metric.Float64Histogram
	stage         metric.Float64Histogram
	wait          metric.Float64Histogram
	lag           metric.Float64Histogram
	tracer        trace.Tracer // nil: nobody wants traces

	intakes  sync.Map // of topic and outcome to their options
	observed metric.Registration
}

func (s *session) newMeter() (*meter, error) {
	api := s.cfg.MeterProvider.Meter(scope)
	m := &meter{name: attrConnector.String(s.name)}
	if _, none := s.cfg.TracerProvider.(tracenoop.TracerProvider); !none {
		m.tracer = s.cfg.TracerProvider.Tracer(scope)
	}
	var errs [11]error
	m.notifications, errs[0] = api.Int64Counter("konnektor.notifications",
		metric.WithUnit("{message}"), metric.WithDescription("Messages taken in, by what came of them: marked, irrelevant or rejected."))
	m.reconciles, errs[1] = api.Int64Counter("konnektor.reconciles",
		metric.WithUnit("{run}"), metric.WithDescription("Reconciles by outcome and change."))
	m.duration, errs[2] = api.Float64Histogram("konnektor.reconcile.duration", seconds,
		metric.WithUnit("s"), metric.WithDescription("From the lease of an entity to the commit of the outcome."))
	m.stage, errs[3] = api.Float64Histogram("konnektor.stage.duration", seconds,
		metric.WithUnit("s"), metric.WithDescription("Fetching, mapping and writing."))
	m.wait, errs[4] = api.Float64Histogram("konnektor.wait", seconds,
		metric.WithUnit("s"), metric.WithDescription("From when an entity was due to its lease."))
	m.lag, errs[5] = api.Float64Histogram("konnektor.lag", seconds,
		metric.WithUnit("s"), metric.WithDescription("From a notification's own time, or the date that it is for, to the moment when the target is right."))
	rows, err := api.Int64ObservableGauge("konnektor.rows",
		metric.WithUnit("{entity}"), metric.WithDescription("Entities in the work store by state."))
	errs[6] = err
	age, err := api.Float64ObservableGauge("konnektor.rows.age",
		metric.WithUnit("s"), metric.WithDescription("For how long the oldest entity has been due or parked."))
	errs[7] = err
	open, err := api.Int64ObservableGauge("konnektor.breaker.open",
		metric.WithUnit("1"), metric.WithDescription("1 while a flow waits for its source or target, else 0."))
	errs[8] = err
	active, err := api.Int64ObservableGauge("konnektor.runs",
		metric.WithUnit("{run}"), metric.WithDescription("Reconciles under way by stage."))
	errs[9] = err
	stuck, err := api.Int64ObservableGauge("konnektor.runs.stuck",
		metric.WithUnit("{run}"), metric.WithDescription("Reconciles that do not end though their time is over."))
	errs[10] = err
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	m.observed, err = api.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		for _, l := range s.loops {
			l.meter.observeLoop(o, l.status(), open, active, stuck)
		}
		return s.observeRows(ctx, o, m.name, rows, age)
	}, rows, age, open, active, stuck)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return m, nil
}

// close ends the observations of a meter.
func (m *meter) close() { _ = m.observed.Unregister() } // fails only if there is nothing to end

// observeRows reports what the work store holds of the connector's flows.
func (s *session) observeRows(ctx context.Context, o metric.Observer, name attribute.KeyValue, rows metric.Int64Observable, age metric.Float64Observable) error {
	stats, err := s.cfg.Store.Stats(ctx)
	if err != nil {
		return err
	}
	for _, f := range s.flows {
		for _, state := range []work.State{work.Idle, work.Waiting, work.Due, work.Running, work.Parked} {
			stat := stats[f.name][state]
			attrs := metric.WithAttributeSet(attribute.NewSet(name, attrFlow.String(f.name), attrState.String(string(state))))
			o.ObserveInt64(rows, int64(stat.Rows), attrs)
			if state == work.Due || state == work.Parked {
				old := 0.0
				if !stat.Oldest.IsZero() {
					old = max(0, time.Since(stat.Oldest).Seconds())
				}
				o.ObserveFloat64(age, old, attrs)
			}
		}
	}
	return nil
}

// notified counts a message.
func (m *meter) notified(topic, outcome string) {
	key := [2]string{topic, outcome}
	opts := cached(&m.intakes, key, func() options { return m.with(attrTopic.String(topic), attrOutcome.String(outcome)) })
	m.notifications.Add(context.Background(), 1, opts.add...)
}

// options are the attributes of a measurement, as the instruments take them.
type options struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

// with returns attributes, after the connector's name.
func (m *meter) with(attrs ...attribute.KeyValue) options {
	set := metric.WithAttributeSet(attribute.NewSet(append([]attribute.KeyValue{m.name}, attrs...)...))
	return options{[]metric.AddOption{set}, []metric.RecordOption{set}}
}

// cached returns what a cache has for a key. There must be few keys.
func cached[K comparable](cache *sync.Map, key K, of func() options) options {
	opts, found := cache.Load(key)
	if !found {
		opts = of()
		cache.Store(key, opts)
	}
	return opts.(options) //nolint:forcetypeassert // nothing else is stored
}

// span begins a span.
func (m *meter) span(ctx context.Context, name string, kind trace.SpanKind) (context.Context, trace.Span) {
	if m.tracer == nil {
		return ctx, noSpan
	}
	return m.tracer.Start(ctx, name, trace.WithSpanKind(kind))
}

var noSpan trace.Span = tracenoop.Span{}

// flowMeter is a meter for one flow.
type flowMeter struct {
	*meter

	flow     attribute.KeyValue
	name     string             // of a run's span
	opts     options            // the flow
	stages   map[string]options // the flow and a stage
	outcomes sync.Map           // of ending to its options
}

// ending is how a run ended, as metrics have it.
type ending struct{ outcome, change string }

// of returns the flow's attributes with an ending.
func (m *flowMeter) of(e ending) options {
	return cached(&m.outcomes, e, func() options {
		return m.with(m.flow, attrOutcome.String(e.outcome), attrChange.String(e.change))
	})
}

func (m *meter) forFlow(flow string) *flowMeter {
	f := &flowMeter{meter: m, flow: attrFlow.String(flow), name: "reconcile " + flow, stages: make(map[string]options)}
	f.opts = m.with(f.flow)
	for _, stage := range []string{fetching, mapping, writing} {
		f.stages[stage] = m.with(f.flow, attrStage.String(stage))
	}
	return f
}

func (m *flowMeter) observeLoop(o metric.Observer, status FlowStatus, open, active, stuck metric.Int64Observable) {
	for system, b := range map[string]BreakerStatus{"source": status.Source, "target": status.Target} {
		n := int64(0)
		if b.Open {
			n = 1
		}
		o.ObserveInt64(open, n, metric.WithAttributeSet(attribute.NewSet(m.meter.name, m.flow, attrSystem.String(system))))
	}
	at, over := make(map[string]int64), int64(0)
	for _, r := range status.Runs {
		at[r.Stage]++
		if r.Stuck {
			over++
		}
	}
	for stage := range m.stages {
		o.ObserveInt64(active, at[stage], metric.WithAttributeSet(attribute.NewSet(m.meter.name, m.flow, attrStage.String(stage))))
	}
	o.ObserveInt64(stuck, over, metric.WithAttributeSet(attribute.NewSet(m.meter.name, m.flow)))
}
