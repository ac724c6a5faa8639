package rabbitmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	// ErrUnroutable says that the broker dropped a message, because no queue
	// takes it. Publishing it again is useless before one is bound.
	ErrUnroutable = errors.New("rabbitmq: no queue is bound for the message")
	// ErrUnconfirmed says that a message was sent, but nobody knows whether the
	// broker stored it.
	ErrUnconfirmed = errors.New("rabbitmq: not confirmed, may or may not have been stored")
)

// maxSends is how often a message is sent at most. An error for which the
// broker closes the channel repeats itself, so it counts for more; but it can
// be about another call's message.
const maxSends, maxRefusedSends = 5, 2

// PublisherConfig are the settings of a [Publisher]. The zero value works.
type PublisherConfig struct {
	// Exchange is what messages are published to, by default the default
	// exchange, where a topic is the name of a queue. It must exist.
	Exchange string
	// Window is how many messages wait for their confirms at a time, over all
	// calls of Publish, by default 100, at most 65535. More brings little.
	Window int
	// ConfirmTimeout is how long the broker has to confirm a message, by
	// default 30 s. After a third of it the message is sent again, on a new
	// connection, to the next host.
	ConfirmTimeout time.Duration
	// Connection are the settings of the connections: virtual host, credentials,
	// TLS.
	Connection Connection
	// Declare is what to make on each new connection, by default nothing.
	Declare Topology
	// Name is what operators see as the connection's name, by default the
	// program's. At most 200 bytes.
	Name string
	// Logger gets losses of connections, by default slog.Default().
	Logger *slog.Logger
}

func (c PublisherConfig) withDefaults() PublisherConfig {
	c.Window = cmp.Or(c.Window, 100)
	c.ConfirmTimeout = cmp.Or(c.ConfirmTimeout, 30*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

func (c PublisherConfig) validate() error {
	switch {
	case len(c.Exchange) > maxShort:
		return fmt.Errorf("Exchange: %d bytes, at most %d: shorten it", len(c.Exchange), maxShort)
	case c.Window < 0 || c.Window > 65535:
		return fmt.Errorf("Window: %d: give 1 to 65535, or 0 for 100", c.Window)
	case c.ConfirmTimeout < 0:
		return fmt.Errorf("ConfirmTimeout: %s: give a positive duration, or 0 for 30s", c.ConfirmTimeout)
	}
	return c.Declare.validate()
}

// Publisher publishes to one exchange of a RabbitMQ broker and waits for its
// confirms. It implements Watermill's message.Publisher; see the package
// comment for what it promises.
type Publisher struct {
	origin *dialer // to be forked only
	dialer *dialer // of whoever has the turn
	config PublisherConfig
	status *tracker

	closing context.Context // ends with Close
	stop    context.CancelFunc
	turn    chan struct{} // whoever holds it may connect

	calls sync.WaitGroup
	tasks sync.WaitGroup // that follow and close sessions

	mu       sync.Mutex
	closed   bool
	now      *session // what new calls use; nil before the first and after a loss
	delays   *backoff.ExponentialBackOff
	next     time.Time // no connection is tried before
	failures int       // attempts to connect that failed, not for want of time
	failure  error     // of the last one
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher returns a publisher to the broker at an AMQP URL, or several,
// amqps://user:password@host:port/vhost, see [Connection]. It does not connect
// yet. An error starts with the name of what is wrong, and never holds the
// password.
func NewPublisher(url string, config PublisherConfig) (*Publisher, error) {
	d, err := config.Connection.newDialer(url, config.Name)
	if err == nil {
		err = config.validate()
	}
	if err != nil {
		return nil, fmt.Errorf("rabbitmq: %w", err)
	}
	p := &Publisher{
		origin: d, dialer: d.fork(), config: config.withDefaults(), status: newTracker(config.Exchange, Idle),
		turn: make(chan struct{}, 1), delays: newDelays(5 * time.Second),
	}
	p.closing, p.stop = context.WithCancel(context.Background())
	return p, nil
}

// Publish publishes messages with topic as their routing key and returns when
// the broker has confirmed all of them. Errors are of these kinds, and can be
// of several at once, see [errors.Is]: [ErrUnroutable], [ErrUnconfirmed],
// [ErrClosed], that of a message's context, or that of connecting.
//
// A message whose connection is lost, or that the broker refuses, is sent
// again on a new one, a few times. So it can arrive twice, and after later ones.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if len(topic) > maxShort || topic == "" && p.config.Exchange == "" {
		return fmt.Errorf("rabbitmq: topic: %d bytes: give a routing key of at most %d bytes; "+
			"without an Exchange it is the name of a queue", len(topic), maxShort)
	}
	letters, err := newLetters(messages)
	if err != nil || len(letters) == 0 {
		return err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	p.calls.Add(1)
	p.mu.Unlock()
	defer p.calls.Done()

	failure := p.deliver(topic, letters)
	return verdict(letters, failure)
}

// deliver sends letters until the fate of all is known, or nothing more can be
// done; then it returns why.
func (p *Publisher) deliver(topic string, letters []*letter) error {
	for sends := 1; ; sends++ {
		s, err := p.session(letters[0])
		if err != nil {
			return err
		}
		err = s.send(p.config.Exchange, topic, letters)
		p.release(s, err)
		left := undone(letters)
		if len(left) == 0 {
			return nil
		}
		if len(left) < len(letters) {
			sends = 1
		}
		limit := maxSends
		var refusal *amqp.Error
		if errors.As(err, &refusal) && refusal.Server && refusal.Recover {
			limit = maxRefusedSends // the broker's word for: another channel may do, not: try again
		}
		if sends >= limit || left[0].expired() {
			return err
		}
		letters = left
	}
}

func undone(letters []*letter) []*letter {
	var left []*letter
	for _, l := range letters {
		if !l.done {
			left = append(left, l)
		}
	}
	return left
}

// verdict makes one error of what became of the letters. failure is why some
// have no fate.
func verdict(letters []*letter, failure error) error {
	var errs []error
	failed, first := 0, 0
	known := map[string]bool{}
	for i, l := range letters {
		err := l.err
		if !l.done {
			err = l.unsettled(failure)
		}
		if err == nil {
			continue
		}
		failed++
		if failed == 1 {
			first = i + 1
		}
		if !known[err.Error()] {
			known[err.Error()] = true
			errs = append(errs, err)
		}
	}
	if failed == 0 {
		return nil
	}
	return fmt.Errorf("rabbitmq: publish: %d of %d messages failed, the first is number %d: %w",
		failed, len(letters), first, errors.Join(errs...))
}

// session returns the session in use, or connects. The caller releases it. It
// has as much time as the first of the letters, which is the oldest. Calls that
// wait for the same attempt share its failure, so that none waits for many.
func (p *Publisher) session(first *letter) (*session, error) {
	ctx, cancel := context.WithCancelCause(first.ctx)
	defer cancel(nil)
	if first.tried {
		timer := time.AfterFunc(time.Until(first.deadline), func() { cancel(errTimeout) })
		defer timer.Stop()
	}
	defer context.AfterFunc(p.closing, func() { cancel(ErrClosed) })()
	p.mu.Lock()
	before := p.failures
	p.mu.Unlock()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if s := p.current(); s != nil {
		return s, nil
	}
	p.mu.Lock()
	next, failures, failure := p.next, p.failures, p.failure
	p.mu.Unlock()
	if failures != before {
		return nil, failure
	}
	if err := pause(ctx, time.Until(next)); err != nil {
		return nil, err
	}
	s, err := p.connect(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.next = time.Now().Add(p.delays.NextBackOff())
		if ctx.Err() == nil {
			p.failures++
			p.failure = err
		}
		return nil, err
	}
	s.users = 1
	p.now = s
	p.tasks.Go(func() {
		<-s.ctx.Done()
		p.retire(s, context.Cause(s.ctx))
	})
	return s, nil
}

// connect makes a session and notes how that went.
func (p *Publisher) connect(ctx context.Context) (*session, error) {
	l, err := p.dialer.dial(ctx)
	if err != nil {
		p.lost(err)
		return nil, err
	}
	if err = p.config.Declare.declare(ctx, l); err != nil {
		l.close()
		p.lost(err)
		return nil, err
	}
	s, err := newSession(ctx, l, p.config.Window, p.config.ConfirmTimeout)
	if err != nil {
		p.lost(err)
		return nil, err
	}
	p.status.connected(l.host)
	l.followBlocks(func(reason string) {
		p.status.block(reason)
		if reason != "" {
			p.config.Logger.Warn("the broker takes no messages", "reason", reason, "host", l.host)
		} else if l.ctx.Err() == nil {
			p.config.Logger.Info("the broker takes messages again", "host", l.host)
		}
	})
	return s, nil
}

// lost notes why there is no connection that works.
func (p *Publisher) lost(err error) {
	if p.status.lost(err) {
		p.config.Logger.Warn("publisher needs a new connection", "error", err)
	} else {
		p.config.Logger.Debug("publisher still needs a new connection", "error", err)
	}
}

// current returns the session in use, or nil if there is none that is alive.
func (p *Publisher) current() *session {
	p.mu.Lock()
	s := p.now
	alive := s != nil && s.ctx.Err() == nil
	if alive {
		s.users++
	}
	p.mu.Unlock()
	if alive {
		return s
	}
	if s != nil { // whoever follows it is about to notice
		p.retire(s, context.Cause(s.ctx))
	}
	return nil
}

// retire takes a session out of use, once, and notes why: new calls get a new
// one. The last of those who still use it closes it.
func (p *Publisher) retire(s *session, err error) {
	p.mu.Lock()
	first, idle := !s.retired, s.users == 0
	if first {
		s.retired = true
		p.now = nil
		p.next = time.Now().Add(p.delays.NextBackOff())
	}
	p.mu.Unlock()
	if !first {
		return
	}
	s.followBlocks(func(string) {}) // the state is that of its successor
	p.lost(err)
	if idle {
		p.status.leave()
		p.tasks.Go(s.close)
	}
}

// release gives a session back. With an error it is of no more use.
func (p *Publisher) release(s *session, err error) {
	if err != nil {
		p.retire(s, err)
	}
	p.mu.Lock()
	s.users--
	last := s.retired && s.users == 0
	if err == nil {
		p.delays.Reset()
	}
	idle := last && err == nil && p.now == nil // it was lost after all was confirmed
	p.mu.Unlock()
	switch {
	case idle:
		p.status.leave()
	case err == nil && p.status.well():
		p.config.Logger.Info("publishing again", "host", s.host)
	}
	if last {
		p.tasks.Go(s.close) // which takes a moment when the broker is silent
	}
}

// Close waits for the calls of Publish under way, which do not connect any
// more, and closes the connection.
func (p *Publisher) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.calls.Wait()
	p.mu.Lock()
	s := p.now
	p.now = nil
	if s != nil {
		s.retired = true
	}
	p.mu.Unlock()
	if s != nil {
		s.close()
	}
	p.tasks.Wait()
	p.status.leave()
	return nil
}

// State returns what the publisher is doing. It connects when it is used: one
// that is [Idle] is as ready as one that is [Ready].
func (p *Publisher) State() State { return p.status.get() }
