package rabbitmq

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Phase is what a subscription or a publisher is doing.
type Phase string

// The phases of a [State].
const (
	// Idle is a publisher without a connection, which the next call makes.
	Idle Phase = "idle"
	// Connecting is a subscription that tries to get or to keep its consumer,
	// or a publisher whose last attempt to connect or to publish failed.
	Connecting Phase = "connecting"
	// Ready is a subscription that consumes, or a publisher that is connected.
	Ready Phase = "ready"
	// Blocked is a publisher that is connected to a broker that takes no
	// messages, because it is low on memory or disk.
	Blocked Phase = "blocked"
)

// State is what a subscription or a publisher is doing, for readiness checks
// and for operators. It never holds credentials.
type State struct {
	// Name is the queue's, or the exchange's.
	Name string
	// Phase is what it is doing, and Since when it began.
	Phase Phase
	Since time.Time
	// Host is the broker's host and port that it is connected to, or was last.
	// Empty before the first connection.
	Host string
	// Reason is why the broker takes no messages, when Blocked.
	Reason string
	// LastError is why a connection was last lost or not made, and LastErrorAt
	// when; both stay after a recovery. Nil and zero if that never happened.
	LastError   error
	LastErrorAt time.Time
	// Reconnects counts the connections after the first.
	Reconnects int
}

// tracker keeps a state.
type tracker struct {
	mu    sync.Mutex
	state State
	links int    // connections made
	kind  string // of the last error that was worth a line in the log; empty when all is well
}

func newTracker(name string, phase Phase) *tracker {
	return &tracker{state: State{Name: name, Phase: phase, Since: time.Now()}}
}

// get returns the state.
func (t *tracker) get() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

// up notes a working connection. It is true if that is worth a line in the log.
func (t *tracker) up(host string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	news := t.links == 0 || t.kind != ""
	t.kind = ""
	t.connectedLocked(host)
	return news
}

// connected notes a connection that has yet to show that it works.
func (t *tracker) connected(host string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connectedLocked(host)
}

func (t *tracker) connectedLocked(host string) {
	t.state.Reconnects = t.links
	t.links++
	t.state.Host = host
	t.enterLocked(Ready)
}

// well notes that the connection in use works. It is true if that is worth a
// line in the log.
func (t *tracker) well() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	news := t.kind != ""
	t.kind = ""
	return news
}

// lost notes why there is no working connection. It is true if that is worth a
// line in the log: the first time, and when the reason is another.
func (t *tracker) lost(err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	kind := kindOf(err)
	news := kind != t.kind
	t.kind = kind
	t.state.LastError, t.state.LastErrorAt = err, time.Now()
	t.enterLocked(Connecting)
	return news
}

// block notes why the broker takes no messages; an empty reason says that it
// does again.
func (t *tracker) block(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case reason != "" && t.state.Phase == Ready:
		t.enterLocked(Blocked)
	case reason == "" && t.state.Phase == Blocked:
		t.enterLocked(Ready)
	}
	if t.state.Phase == Blocked {
		t.state.Reason = reason
	}
}

// leave notes that there is no connection, and none is wanted.
func (t *tracker) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.enterLocked(Idle)
}

func (t *tracker) enterLocked(phase Phase) {
	if phase != t.state.Phase {
		t.state.Phase, t.state.Since = phase, time.Now()
	}
	t.state.Reason = ""
}

// kindOf tells reasons apart that are different for an operator. Hosts take
// turns in the texts, so those of the broker count alone, and all that is wrong
// with the network is one thing.
func kindOf(err error) string {
	var refused *amqp.Error
	switch {
	case errors.Is(err, errCancelled), errors.As(err, &refused) && refused.Code == amqp.NotFound:
		return "no queue"
	case errors.As(err, &refused) && refused.Server && refused.Code != amqp.ConnectionForced: // by a node that stops
		return fmt.Sprint(refused.Code, refused.Reason)
	case errors.Is(err, errCredentials):
		return "credentials"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "certificate"
	default:
		return "network"
	}
}
