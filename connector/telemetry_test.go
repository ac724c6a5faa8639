package connector_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source"
)

// metered gives the world metrics. What it returns reads them: the sum of a
// counter or gauge, the count of a histogram, over all points that have the
// attributes ("outcome=done").
func (w *world) metered() func(name string, attributes ...string) float64 {
	reader := metric.NewManualReader()
	w.cfg.MeterProvider = metric.NewMeterProvider(metric.WithReader(reader))
	return func(name string, attributes ...string) float64 {
		w.t.Helper()
		var data metricdata.ResourceMetrics
		require.NoError(w.t, reader.Collect(w.t.Context(), &data))
		sum, found := 0.0, false
		add := func(set attribute.Set, value float64) {
			for _, a := range attributes {
				k, v, _ := strings.Cut(a, "=")
				if got, _ := set.Value(attribute.Key("konnektor." + k)); got.AsString() != v {
					return
				}
			}
			sum, found = sum+value, true
		}
		for _, scope := range data.ScopeMetrics {
			for _, m := range scope.Metrics {
				if m.Name != "konnektor."+name {
					continue
				}
				switch d := m.Data.(type) {
				case metricdata.Sum[int64]:
					for _, p := range d.DataPoints {
						add(p.Attributes, float64(p.Value))
					}
				case metricdata.Gauge[int64]:
					for _, p := range d.DataPoints {
						add(p.Attributes, float64(p.Value))
					}
				case metricdata.Gauge[float64]:
					for _, p := range d.DataPoints {
						add(p.Attributes, p.Value)
					}
				case metricdata.Histogram[float64]:
					for _, p := range d.DataPoints {
						add(p.Attributes, p.Sum)
					}
				default:
					w.t.Fatalf("%s: %T", name, d)
				}
			}
		}
		require.True(w.t, found || len(attributes) > 0, "no metric konnektor.%s", name)
		return sum
	}
}

func TestMetrics(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		read := w.metered()
		w.register.latency = 2 * time.Second
		w.register.set("1", person{Name: "Kari"})
		stop := w.start()
		w.notify("1", "2")
		w.publish("{") // rejected
		settle()
		require.InDelta(t, 2, read("runs", "stage=fetch"), 0)
		require.InDelta(t, 2, read("rows", "flow=people", "state=running"), 0)
		time.Sleep(5 * time.Second)
		w.event(time.Now().Add(-time.Minute), "1")
		time.Sleep(5 * time.Second)

		require.InDelta(t, 3, read("notifications", "topic="+queue, "outcome=marked"), 0)
		require.InDelta(t, 1, read("notifications", "outcome=rejected"), 0)
		require.InDelta(t, 3, read("reconciles", "flow=people", "outcome=done"), 0)
		require.InDelta(t, 1, read("reconciles", "change=created"), 0)
		require.InDelta(t, 2, read("reconciles", "change=unchanged"), 0, "nothing to remove, and a repetition")
		require.InDelta(t, 6, read("reconcile.duration", "flow=people"), 0.01)
		require.InDelta(t, 6, read("stage.duration", "stage=fetch"), 0.01)
		require.InDelta(t, 0, read("wait", "flow=people"), 0.01)
		require.InDelta(t, 62, read("lag", "flow=people"), 0.01, "of the notification that says its time")
		require.InDelta(t, 2, read("rows", "state=idle"), 0)
		require.InDelta(t, 0, read("breaker.open"), 0)

		w.register.setDown(failure.As(failure.Unavailable, errors.New("503")))
		w.register.latency = 0
		w.notify("1", "2", "3", "4", "5", "6")
		time.Sleep(time.Hour)
		require.InDelta(t, 1, read("breaker.open", "system=source"), 0)
		require.InDelta(t, 0, read("breaker.open", "system=target"), 0)
		require.InDelta(t, 6, read("rows", "state=due")+read("rows", "state=waiting")+read("rows", "state=running"), 0)
		require.Positive(t, read("rows.age", "state=due"))
		require.NoError(t, stop())
	})
}

// TestTraces follows a notification to the write.
func TestTraces(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		spans := tracetest.NewSpanRecorder()
		w.cfg.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
		var inFetch trace.SpanContext
		w.flow.Source = source.Func[person](func(ctx context.Context, req source.Request) (person, error) {
			inFetch = trace.SpanContextFromContext(ctx)
			return w.register.Fetch(ctx, req)
		})
		w.register.set("Kari", person{Name: "Kari Nordmann"})
		stop := w.start()
		w.event(time.Now(), "Kari")
		settle()
		require.NoError(t, stop())
		ended := make(map[string]sdktrace.ReadOnlySpan)
		for _, s := range spans.Ended() {
			ended[s.Name()] = s
			require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", s.SpanContext().TraceID().String(), "%s", s.Name())
			require.NotContains(t, s.Attributes(), "Kari")
		}
		require.Len(t, ended, 4)
		run := ended["reconcile people"]
		require.Equal(t, "00f067aa0ba902b7", run.Parent().SpanID().String())
		for _, stage := range []string{"fetch", "map", "write"} {
			require.Equal(t, run.SpanContext().SpanID(), ended[stage].Parent().SpanID())
		}
		require.Equal(t, ended["fetch"].SpanContext().SpanID(), inFetch.SpanID(), "what a source calls belongs to the trace")
		for _, a := range run.Attributes() {
			require.NotContains(t, a.Value.String(), "Kari")
		}
	})
}

// event sends a CloudEvent with a time and a trace.
func (w *world) event(at time.Time, id string) {
	w.t.Helper()
	w.publish(`{"specversion":"1.0","id":"e1","source":"s","type":"person.update","subject":"persons/` + id + `",` +
		`"time":"` + at.UTC().Format(time.RFC3339Nano) + `","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`)
	synctest.Wait()
}
