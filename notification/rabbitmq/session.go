package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
)

// publishHeader numbers the messages of a channel, so that one that the broker
// returns is known for sure: ids are the user's, and can repeat. Its name is
// reserved, so subscribers of this package drop it.
const publishHeader = "amqp.publish"

var (
	errRefused = errors.New("the broker refused it")
	errTimeout = errors.New("the broker did not confirm it in time")
)

// blockedError is why nothing is sent, or nothing that was sent is confirmed: the
// broker blocks the connection. A new one would be blocked as well.
type blockedError struct{ reason string }

func (e blockedError) Error() string {
	return "the broker takes no messages now: " + e.reason
}

// letter is one message of a call of Publish.
type letter struct {
	amqp.Publishing
	ctx context.Context // the message's

	// Of the last time that it was sent.
	number  string
	resend  time.Time // when to send it again
	confirm *amqp.DeferredConfirmation

	tried    bool      // it was sent, perhaps more than once
	deadline time.Time // of its confirm, since it was first tried
	done     bool      // its fate is known
	err      error     // nil if it was confirmed
}

func (l *letter) finish(err error) { l.done, l.err = true, err }

// expired reports whether there is no time left to try it again.
func (l *letter) expired() bool { return l.tried && !time.Now().Before(l.deadline) }

// unsettled is the letter's error when err ended the wait for its fate.
func (l *letter) unsettled(err error) error {
	if !l.tried {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnconfirmed, err)
}

// newLetters converts all messages, so that nothing is sent if one cannot be.
func newLetters(messages []*message.Message) ([]*letter, error) {
	letters := make([]*letter, len(messages))
	for i, msg := range messages {
		p, err := toPublishing(msg)
		if err != nil {
			return nil, fmt.Errorf("rabbitmq: message %d of %d: %w", i+1, len(messages), err)
		}
		letters[i] = &letter{Publishing: p, ctx: msg.Context()}
	}
	return letters, nil
}

// session is a channel in confirm mode with a window, shared by all calls of
// Publish at a time.
type session struct {
	*link
	timeout time.Duration
	slots   chan struct{} // one taken for each message without a confirm
	orphans sync.WaitGroup
	numbers atomic.Uint64

	// The library puts a return here before it handles the confirm, and there
	// is room for all that can be under way.
	returns chan amqp.Return
	mu      sync.Mutex
	back    map[string]struct{} // numbers of the messages that came back

	// Publisher's, under its mutex.
	users   int
	retired bool
}

// newSession puts the link's channel in confirm mode.
func newSession(ctx context.Context, l *link, window int, timeout time.Duration) (*session, error) {
	s := &session{
		link: l, timeout: timeout,
		slots: make(chan struct{}, window),
		back:  map[string]struct{}{},
	}
	s.returns = l.ch.NotifyReturn(make(chan amqp.Return, window))
	if err := l.call(ctx, "turn confirms on", func() error { return l.ch.Confirm(false) }); err != nil {
		l.close()
		return nil, err
	}
	return s, nil
}

// send publishes letters in order, as many at a time as the window allows, and
// waits for their confirms. A letter that is not done when it returns may have
// been stored or not; then the error says why, and the session is of no more use.
func (s *session) send(exchange, key string, letters []*letter) error {
	var failure error
	sent, settled := 0, 0
	for sent < len(letters) && failure == nil {
		// Whoever waits for a slot has none, so nobody waits for a waiter.
		ok, err := s.slot(letters[sent], settled == sent)
		switch {
		case errors.As(err, new(blockedError)):
			for _, l := range letters[sent:] {
				l.finish(l.unsettled(err)) // each would wait as long, and in vain
			}
			return s.settleAll(letters[settled:sent])
		case err != nil:
			failure = err
		case ok:
			failure = s.publish(exchange, key, letters[sent])
			sent++
		case letters[sent].done: // its context ended first
			failure = s.settleAll(letters[settled:sent])
			sent++
			settled = sent
		default:
			failure = s.settle(letters[settled])
			settled++
		}
	}
	if err := s.settleAll(letters[settled:sent]); failure == nil {
		failure = err
	}
	return failure
}

// slot takes a slot of the window, if need be by waiting. It is false without
// an error when there is none, or when the letter's context has ended.
func (s *session) slot(l *letter, wait bool) (bool, error) {
	if err := l.ctx.Err(); err != nil {
		l.finish(l.unsettled(err))
		return false, nil
	}
	var timeout <-chan time.Time
	for {
		slots := s.slots
		reason, open := s.gate()
		if open != nil {
			slots = nil // what is sent now only waits in the network's buffers
		}
		select {
		case slots <- struct{}{}:
			return true, nil
		default:
		}
		if !wait {
			return false, nil
		}
		if timeout == nil {
			timeout = time.After(s.timeout) // only for who has to wait
		}
		select {
		case slots <- struct{}{}:
			return true, nil
		case <-open:
		case <-l.ctx.Done():
			l.finish(l.unsettled(l.ctx.Err()))
			return false, nil
		case <-s.ctx.Done():
			return false, context.Cause(s.ctx)
		case <-timeout:
			if open != nil {
				return false, blockedError{reason}
			}
			return false, errTimeout
		}
	}
}

// publish sends a letter for which there is a slot.
func (s *session) publish(exchange, key string, l *letter) error {
	l.number = strconv.FormatUint(s.numbers.Add(1), 10)
	l.Headers[publishHeader] = l.number
	now := time.Now()
	if !l.tried {
		l.tried, l.deadline = true, now.Add(s.timeout)
	}
	l.resend = now.Add(s.timeout / 3)
	if l.resend.After(l.deadline) {
		l.resend = l.deadline
	}
	var err error
	l.confirm, err = s.ch.PublishWithDeferredConfirm(exchange, key, true, false, l.Publishing)
	if err != nil {
		<-s.slots
		return s.reason(err)
	}
	return nil
}

// settleAll settles the letters that were sent.
func (s *session) settleAll(letters []*letter) error {
	var failure error
	for _, l := range letters {
		if l.confirm == nil || l.done {
			continue
		}
		if err := s.settle(l); failure == nil {
			failure = err
		}
	}
	return failure
}

// settle waits for a letter's confirm, until it is to be sent again or its
// context ends. An error is about the session.
func (s *session) settle(l *letter) error {
	timer := time.NewTimer(time.Until(l.resend))
	defer timer.Stop()
	for waiting := true; waiting; {
		select {
		case <-l.confirm.Done():
			waiting = false
		case <-l.ctx.Done():
			l.finish(l.unsettled(l.ctx.Err()))
			s.abandon(l)
			return nil
		case <-timer.C:
			reason, open := s.gate()
			switch {
			case open == nil:
				s.abandon(l)
				return errTimeout
			case l.expired():
				l.finish(l.unsettled(blockedError{reason}))
				s.abandon(l)
				return nil
			}
			timer.Reset(time.Until(l.deadline)) // another connection would not help
		}
	}
	back := s.cameBack(l.number) // before the slot is free, so that returns has room
	<-s.slots
	switch {
	case !l.confirm.Acked():
		return s.reason(errRefused)
	case back:
		l.finish(ErrUnroutable)
	default:
		l.finish(nil)
	}
	return nil
}

// abandon keeps the slot of a letter that nobody waits for any more until the
// broker has answered, because it can still come back.
func (s *session) abandon(l *letter) {
	confirm, number := l.confirm, l.number
	s.orphans.Go(func() {
		select {
		case <-confirm.Done():
		case <-s.ctx.Done():
		}
		s.cameBack(number)
		<-s.slots
	})
}

// cameBack reports whether the broker returned the message of that number,
// once it was confirmed.
func (s *session) cameBack(number string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		select {
		case r, ok := <-s.returns:
			if ok {
				name, _ := r.Headers[publishHeader].(string)
				s.back[name] = struct{}{}
				continue
			}
		default:
		}
		_, ok := s.back[number]
		delete(s.back, number)
		return ok
	}
}

// reason returns why the session failed: the loss of its channel, or else err.
func (s *session) reason(err error) error {
	if !s.ch.IsClosed() {
		return err
	}
	<-s.ctx.Done() // it is on its way
	return context.Cause(s.ctx)
}

// close ends the session. Nobody uses it any more.
func (s *session) close() {
	s.link.close()
	s.orphans.Wait()
}
