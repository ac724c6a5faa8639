package rabbitmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// From returns the name of the queue, and of the exchange before it, in which a
// consumer finds the messages of the application with that virtual host.
func From(vhost string) string { return "from_" + vhost }

// Outgoing returns the name of the exchange to which the application with that
// virtual host publishes.
func Outgoing(vhost string) string { return "outgoing_" + vhost }

// Topology is what an application declares itself, in its own virtual host, each
// time it connects. That needs the right to configure. What exists already must
// be alike: nothing is ever changed or removed. The zero value declares nothing.
type Topology struct {
	Exchanges []Exchange
	Queues    []Queue
	Bindings  []Binding
}

// Exchange is a durable exchange.
type Exchange struct {
	Name string
	// Kind is "topic" by default.
	Kind      string
	Arguments amqp.Table
}

// Queue is a durable queue, by default a quorum queue.
type Queue struct {
	Name string
	// Classic makes a classic queue instead of a quorum queue.
	Classic bool
	// DeliveryLimit is how often a message is delivered again before it is
	// dead-lettered, or dropped where there is no DeadLetter. 0 leaves that to
	// the broker: no limit before RabbitMQ 4.0, 20 since. Quorum queues only.
	DeliveryLimit int
	// DeadLetter is the queue that gets the messages that are rejected, expire
	// or reach the limit. It must be declared too, or exist. From a quorum queue
	// they are moved at least once, and for that a queue that is full, see
	// MaxLength, refuses new messages instead of dropping old ones.
	DeadLetter string
	// SingleActive lets one consumer at a time have messages; others wait for
	// its end.
	SingleActive bool
	// MessageTTL is how long a message stays, in whole milliseconds. 0 is
	// without end.
	MessageTTL time.Duration
	// MaxLength is how many messages there can be. 0 is any number.
	MaxLength int
	// Arguments are further ones of the broker, by their names.
	Arguments amqp.Table
}

// Binding has an exchange copy messages to a queue.
type Binding struct {
	Queue, Exchange string
	// Key is the pattern that routing keys must match, for example "no.uio.#".
	Key       string
	Arguments amqp.Table
}

// maxTTL is the longest time to live that RabbitMQ takes, ten years.
const maxTTL = 315360000000 * time.Millisecond

func (t Topology) validate() error {
	for i, e := range t.Exchanges {
		if e.Name == "" || len(e.Name) > maxShort {
			return fmt.Errorf("Declare.Exchanges[%d].Name: %d bytes: give 1 to %d", i, len(e.Name), maxShort)
		}
		if err := e.Arguments.Validate(); err != nil {
			return fmt.Errorf("Declare.Exchanges[%d].Arguments: %w", i, err)
		}
	}
	for i, q := range t.Queues {
		if err := q.validate(); err != nil {
			return fmt.Errorf("Declare.Queues[%d].%w", i, err)
		}
	}
	for i, b := range t.Bindings {
		switch {
		case b.Queue == "" || len(b.Queue) > maxShort || b.Exchange == "" || len(b.Exchange) > maxShort:
			return fmt.Errorf("Declare.Bindings[%d]: give names of a queue and an exchange, 1 to %d bytes", i, maxShort)
		case len(b.Key) > maxShort:
			return fmt.Errorf("Declare.Bindings[%d].Key: %d bytes, at most %d: shorten it", i, len(b.Key), maxShort)
		}
		if err := b.Arguments.Validate(); err != nil {
			return fmt.Errorf("Declare.Bindings[%d].Arguments: %w", i, err)
		}
	}
	return nil
}

func (q Queue) validate() error {
	switch {
	case q.Name == "" || len(q.Name) > maxShort:
		return fmt.Errorf("Name: %d bytes: give 1 to %d", len(q.Name), maxShort)
	case len(q.DeadLetter) > maxShort:
		return fmt.Errorf("DeadLetter: %d bytes, at most %d: shorten it", len(q.DeadLetter), maxShort)
	case q.DeadLetter == q.Name:
		return errors.New("DeadLetter: the queue itself: name another")
	case q.DeliveryLimit < 0:
		return fmt.Errorf("DeliveryLimit: %d: give a positive number, or 0 for the broker's default", q.DeliveryLimit)
	case q.Classic && q.DeliveryLimit > 0:
		return errors.New("DeliveryLimit: a classic queue has none: leave Classic out")
	case q.MessageTTL < 0 || q.MessageTTL > maxTTL || q.MessageTTL%time.Millisecond != 0:
		return fmt.Errorf("MessageTTL: %s: give whole milliseconds up to ten years, or 0 for no end", q.MessageTTL)
	case q.MaxLength < 0:
		return fmt.Errorf("MaxLength: %d: give a positive number, or 0 for no limit", q.MaxLength)
	}
	own := q.ownArguments()
	for name := range q.Arguments {
		if _, ok := own[name]; ok {
			return fmt.Errorf("Arguments: %s is made from another field: set it there", name)
		}
	}
	if err := q.Arguments.Validate(); err != nil {
		return fmt.Errorf("Arguments: %w", err)
	}
	return nil
}

// arguments returns all arguments of the declaration.
func (q Queue) arguments() amqp.Table {
	args := q.ownArguments()
	maps.Copy(args, q.Arguments)
	return args
}

// ownArguments are those that the fields stand for.
func (q Queue) ownArguments() amqp.Table {
	args := amqp.Table{}
	if q.DeliveryLimit > 0 {
		args["x-delivery-limit"] = int64(q.DeliveryLimit)
	}
	if q.DeadLetter != "" {
		args["x-dead-letter-exchange"] = ""
		args["x-dead-letter-routing-key"] = q.DeadLetter
	}
	if !q.Classic {
		args["x-queue-type"] = "quorum"
		if q.DeadLetter != "" {
			// Without the second, the broker falls back from the first silently.
			args["x-dead-letter-strategy"] = "at-least-once"
			args["x-overflow"] = "reject-publish"
		}
	}
	if q.SingleActive {
		args["x-single-active-consumer"] = true
	}
	if q.MessageTTL > 0 {
		args["x-message-ttl"] = q.MessageTTL.Milliseconds()
	}
	if q.MaxLength > 0 {
		args["x-max-length"] = int64(q.MaxLength)
	}
	return args
}

// declare makes what is missing. Its errors say what differs.
func (t Topology) declare(ctx context.Context, l *link) error {
	for _, e := range t.Exchanges {
		err := l.call(ctx, "declare exchange "+e.Name, func() error {
			return l.ch.ExchangeDeclare(e.Name, cmp.Or(e.Kind, amqp.ExchangeTopic), true, false, false, false, e.Arguments)
		})
		if err != nil {
			return declined(err)
		}
	}
	for _, q := range t.Queues {
		err := l.call(ctx, "declare queue "+q.Name, func() error {
			_, err := l.ch.QueueDeclare(q.Name, true, false, false, false, q.arguments())
			return err
		})
		if err != nil {
			return declined(err)
		}
	}
	for _, b := range t.Bindings {
		err := l.call(ctx, "bind queue "+b.Queue+" to exchange "+b.Exchange, func() error {
			return l.ch.QueueBind(b.Queue, b.Key, b.Exchange, false, b.Arguments)
		})
		if err != nil {
			return declined(err)
		}
	}
	return nil
}

// inequivalent is how RabbitMQ says that something exists with other settings.
var inequivalent = regexp.MustCompile(`inequivalent arg '([^']+)' for .*: received (.*) but current is (.*)$`)

// difference is one setting of something that exists.
type difference struct {
	name          string
	wanted, found string
}

// differenceIn reads the broker's complaint about a declaration.
func differenceIn(err error) (difference, bool) {
	m := inequivalent.FindStringSubmatch(reasonOf(err))
	if m == nil {
		return difference{}, false
	}
	return difference{name: m[1], wanted: settingIn(m[2]), found: settingIn(m[3])}, true
}

// reasonOf returns the broker's text, or an empty one.
func reasonOf(err error) string {
	var refused *amqp.Error
	if errors.As(err, &refused) && refused.Server {
		return refused.Reason
	}
	return ""
}

// settingIn returns the value in the broker's words for it, for example "none"
// or "the value 'quorum' of type 'longstr'".
func settingIn(text string) string {
	text = strings.TrimPrefix(text, "the value ")
	if i := strings.LastIndex(text, " of type '"); i >= 0 {
		text = text[:i]
	}
	return strings.Trim(text, "'")
}

// declined adds what can be done about a declaration that the broker refuses.
func declined(err error) error {
	if d, ok := differenceIn(err); ok {
		return fmt.Errorf("%w (it exists with %s %s instead of %s: declare it so, or leave it out, or delete it first)",
			err, d.name, d.found, d.wanted)
	}
	var refused *amqp.Error
	if errors.As(err, &refused) && refused.Code == amqp.AccessRefused {
		return fmt.Errorf("%w (the user has no right to configure, or to bind, here: leave it out of Declare if it exists, or ask for the right)", err)
	}
	return err
}
