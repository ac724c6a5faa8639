//go:build integration

package connector_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

// state is an entity: who it is and how often it has changed.
type state struct {
	ID      string `json:"id"`
	Version int64  `json:"version"`
}

// wholeWorld is a source behind HTTP, and a target in memory that knows what was
// written in the wrong order.
type wholeWorld struct {
	url, queue, database string

	api    *httptest.Server
	client *http.Client
	source []atomic.Int64 // versions
	target []atomic.Int64
	calls  atomic.Int64 // of the API
	stale  atomic.Int64
}

func newWholeWorld(b *testing.B, node *server.RabbitMQNode, l load) *wholeWorld {
	b.Helper()
	w := &wholeWorld{
		url: node.URL(), queue: "whole-" + watermill.NewShortUUID(),
		source: make([]atomic.Int64, l.entities), target: make([]atomic.Int64, l.entities),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: wholeWorkers}},
	}
	w.api = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.calls.Add(1)
		id := strings.TrimPrefix(r.URL.Path, "/persons/")
		n, err := strconv.Atoi(id)
		if err != nil {
			http.NotFound(rw, r)
			return
		}
		s := state{ID: id, Version: w.source[n].Load()}
		time.Sleep(l.latency)
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(s)
	}))
	p, err := rabbitmq.NewPublisher(w.url, rabbitmq.PublisherConfig{
		Declare: rabbitmq.Topology{Queues: []rabbitmq.Queue{{Name: w.queue}}},
	})
	require.NoError(b, err)
	require.NoError(b, p.Publish(w.queue, message.NewMessage("warm-up", []byte(`persons/0`))))
	require.NoError(b, p.Close())
	return w
}

// close ends what would cost the next contender something.
func (w *wholeWorld) close() {
	w.client.CloseIdleConnections()
	w.api.Close()
	runtime.GC() //nolint:revive // what one leaves behind, the next would clear away
}

// fetch is the same for all.
func (w *wholeWorld) fetch(ctx context.Context, id string) (s state, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.api.URL+"/persons/"+id, http.NoBody)
	if err != nil {
		return s, err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return s, err
	}
	err = json.Unmarshal(body, &s)
	return s, err
}

// write is what a target does that has no versions: the last one wins.
func (w *wholeWorld) write(s state) {
	n, err := strconv.Atoi(s.ID)
	if err != nil {
		return
	}
	if w.target[n].Swap(s.Version) > s.Version {
		w.stale.Add(1)
	}
}

func (w *wholeWorld) wrong() int {
	wrong := 0
	for i := range w.source {
		if w.target[i].Load() != w.source[i].Load() {
			wrong++
		}
	}
	return wrong
}

// handle is what a handler by hand does.
func (w *wholeWorld) handle(ctx context.Context, body []byte) error {
	id, err := idOf(body)
	if err != nil {
		return err
	}
	s, err := w.fetch(ctx, id)
	if err != nil {
		return err
	}
	w.write(s)
	return nil
}

func idOf(body []byte) (string, error) {
	if id, bare := strings.CutPrefix(string(body), "persons/"); bare {
		return id, nil
	}
	var event struct {
		Subject string `json:"subject"`
	}
	err := json.Unmarshal(body, &event)
	return event.Subject[strings.LastIndex(event.Subject, "/")+1:], err
}

func (w *wholeWorld) deliveries(b *testing.B, prefetch int) (*amqp.Connection, <-chan amqp.Delivery) {
	b.Helper()
	conn, err := amqp.Dial(w.url)
	require.NoError(b, err)
	ch, err := conn.Channel()
	require.NoError(b, err)
	require.NoError(b, ch.Qos(prefetch, 0, false))
	deliveries, err := ch.Consume(w.queue, "", false, false, false, false, nil)
	require.NoError(b, err)
	return conn, deliveries
}

// consumePool is what most connectors are: workers that handle a message each
// and ack it.
func consumePool(ctx context.Context, b *testing.B, w *wholeWorld) {
	conn, deliveries := w.deliveries(b, 4*wholeWorkers)
	var workers sync.WaitGroup
	for range wholeWorkers {
		workers.Go(func() {
			for d := range deliveries {
				if err := w.handle(ctx, d.Body); err != nil {
					_ = d.Nack(false, true)
					continue
				}
				_ = d.Ack(false)
			}
		})
	}
	<-ctx.Done()
	_ = conn.Close()
	workers.Wait()
}

// consumeWorkQueue is a pool behind a queue in memory that holds each entity
// once, and never gives it to two workers, as Kubernetes' controllers have it.
// Messages are acked when their entity is done.
func consumeWorkQueue(ctx context.Context, b *testing.B, w *wholeWorld) {
	conn, deliveries := w.deliveries(b, mostPrefetch)
	var (
		mu      sync.Mutex
		some    = sync.NewCond(&mu)
		queue   []string
		dirty   = make(map[string][]amqp.Delivery) // not begun
		working = make(map[string]bool)
		ended   bool
	)
	var workers sync.WaitGroup
	for range wholeWorkers {
		workers.Go(func() {
			mu.Lock()
			defer mu.Unlock()
			for {
				for len(queue) == 0 && !ended {
					some.Wait()
				}
				if ended {
					return
				}
				id := queue[0]
				queue = queue[1:]
				covered := dirty[id]
				delete(dirty, id)
				working[id] = true
				mu.Unlock()
				s, err := w.fetch(ctx, id)
				if err == nil {
					w.write(s)
				}
				for _, d := range covered {
					if err != nil {
						_ = d.Nack(false, true)
						continue
					}
					_ = d.Ack(false)
				}
				mu.Lock()
				delete(working, id)
				if len(dirty[id]) > 0 {
					queue = append(queue, id)
					some.Signal()
				}
			}
		})
	}
	workers.Go(func() {
		for d := range deliveries {
			id, err := idOf(d.Body)
			if err != nil {
				_ = d.Reject(false)
				continue
			}
			mu.Lock()
			if len(dirty[id]) == 0 && !working[id] {
				queue = append(queue, id)
				some.Signal()
			}
			dirty[id] = append(dirty[id], d)
			mu.Unlock()
		}
	})
	<-ctx.Done()
	_ = conn.Close()
	mu.Lock()
	ended = true
	some.Broadcast()
	mu.Unlock()
	workers.Wait()
}

// consumeWatermill is Watermill's Router over our subscriber, with as many
// messages in flight as there are workers: its own takes one at a time.
func consumeWatermill(ctx context.Context, b *testing.B, w *wholeWorld) {
	queue, err := rabbitmq.NewSubscriber(w.url, rabbitmq.SubscriberConfig{Prefetch: wholeWorkers})
	require.NoError(b, err)
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	require.NoError(b, err)
	router.AddConsumerHandler("people", w.queue, queue, func(msg *message.Message) error {
		return w.handle(msg.Context(), msg.Payload)
	})
	require.NoError(b, router.Run(ctx))
	require.NoError(b, queue.Close())
}
