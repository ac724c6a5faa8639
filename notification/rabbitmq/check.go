package rabbitmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Verdict is what a [Finding] means for the program.
type Verdict string

// The verdicts of a [Finding].
const (
	OK      Verdict = "ok"
	Warning Verdict = "warning" // it works, but something can be lost or hidden
	Problem Verdict = "problem" // it does not work
	Unknown Verdict = "unknown" // it cannot be seen from here
)

// Finding is one line of a check. No line holds credentials.
type Finding struct {
	Name    string // what was looked at, for example "queue type"
	Value   string // what was found, in words
	Verdict Verdict
	Advice  string // what to do about it; can be empty
}

// report collects findings.
type report []Finding

func (r *report) add(name, value string, verdict Verdict, advice string) {
	*r = append(*r, Finding{Name: name, Value: value, Verdict: verdict, Advice: advice})
}

// Check looks at what a subscription of the queue named topic depends on, on a
// connection of its own, for a person to read. It changes nothing, makes
// nothing, and no message is delivered for it.
//
// Over AMQP it sees that the queue exists and how many messages and consumers it
// has, and whether the user may read. With the right to configure it sees the
// queue's arguments too, but no policy: for that, and without that right, set
// Connection.ManagementURL. The consumer timeout cannot be seen at all.
func (s *Subscriber) Check(ctx context.Context, topic string) []Finding {
	var r report
	d := s.dialer.fork()
	l := r.connect(ctx, d)
	if l == nil {
		return r
	}
	defer l.close()
	if !r.queue(ctx, l, topic) {
		return r
	}
	r.readRight(ctx, l, topic)

	q, err := s.manage(ctx, d, topic)
	switch {
	case s.config.Connection.ManagementURL == "":
	case err != nil:
		r.add("management", err.Error(), Unknown, "check Connection.ManagementURL, and that the user has the tag management")
	default:
		r.managed(q)
		r.arguments(q.settings(), serverVersion(l))
	}
	if s.config.Connection.ManagementURL == "" || err != nil {
		r.probe(ctx, l, topic, len(s.config.Declare.Queues) > 0)
	}
	if s.config.Exclusive {
		r.add("exclusive", "asked for", Warning, "it has an effect on classic queues only: ask for a queue with a single active consumer instead")
	}
	r.timeout(s.config.Prefetch)
	return r
}

// Check looks at what publishing depends on, on a connection of its own, for a
// person to read. It changes nothing and publishes nothing.
func (p *Publisher) Check(ctx context.Context) []Finding {
	var r report
	l := r.connect(ctx, p.origin.fork())
	if l == nil {
		return r
	}
	defer l.close()
	name := p.config.Exchange
	if name != "" {
		err := aside(ctx, l, "look for exchange "+name, func(ch *amqp.Channel) error {
			return ch.ExchangeDeclarePassive(name, amqp.ExchangeTopic, true, false, false, false, nil)
		})
		switch code := codeOf(err); {
		case code == amqp.NotFound:
			r.add("exchange", name+": missing", Problem, "correct the name, or have it made")
			return r
		case err != nil:
			r.add("exchange", name+": "+err.Error(), Unknown, "")
		default:
			r.add("exchange", name+": exists", OK, "")
		}
	}
	// A message that no broker takes is refused for its lack of rights first.
	err := aside(ctx, l, "try to publish", func(ch *amqp.Channel) error {
		closed := ch.NotifyClose(make(chan *amqp.Error, 1))
		err := ch.PublishWithContext(ctx, name, "check", true, false, amqp.Publishing{Expiration: "invalid"})
		if err == nil {
			if refused := <-closed; refused != nil {
				return refused
			}
		}
		return err
	})
	switch codeOf(err) {
	case amqp.PreconditionFailed:
		r.add("right to write", cmp.Or(name, "default exchange")+": yes", OK, "")
	case amqp.AccessRefused:
		r.add("right to write", cmp.Or(name, "default exchange")+": no", Problem, "ask for the right to write to the exchange")
	default:
		r.add("right to write", fmt.Sprint(err), Unknown, "")
	}
	return r
}

// connect reports the connection, which is nil if there is none.
func (r *report) connect(ctx context.Context, d *dialer) *link {
	l, err := d.dial(ctx)
	if err != nil {
		r.add("connection", err.Error(), Problem, "see the reason")
		return nil
	}
	security, verdict, advice := l.tls, OK, ""
	if security == "" {
		security, verdict, advice = "not encrypted", Warning, "start the URL with amqps, but for a broker on the same machine"
	}
	r.add("connection", l.host+", "+security, verdict, advice)
	r.add("virtual host", d.vhost, OK, "")
	product, _ := l.conn.Properties["product"].(string)
	version, _ := l.conn.Properties["version"].(string)
	cluster, _ := l.conn.Properties["cluster_name"].(string)
	r.add("server", strings.TrimSpace(product+" "+version)+", cluster "+cluster, OK, "")
	return l
}

// queue reports whether the queue is there.
func (r *report) queue(ctx context.Context, l *link, name string) bool {
	var q amqp.Queue
	err := aside(ctx, l, "look for queue "+name, func(ch *amqp.Channel) error {
		var err error
		q, err = ch.QueueDeclarePassive(name, true, false, false, false, nil)
		return err
	})
	switch code := codeOf(err); {
	case code == amqp.NotFound:
		r.add("queue", name+": missing", Problem, "correct the name, or have it made: "+From("<virtual host of the provider>")+" comes with the access")
		return false
	case code == amqp.AccessRefused:
		r.add("queue", name+": cannot be looked for without the right to configure", Unknown, "")
	case err != nil:
		r.add("queue", err.Error(), Problem, "see the reason")
		return false
	default:
		r.add("queue", fmt.Sprintf("%s: %d messages ready, %d consumers", name, q.Messages, q.Consumers), OK, "")
	}
	return true
}

// readRight reports whether we may consume. A consumer with an invalid priority
// is refused for its lack of rights first, and never starts.
func (r *report) readRight(ctx context.Context, l *link, name string) {
	err := aside(ctx, l, "try to consume", func(ch *amqp.Channel) error {
		_, err := ch.Consume(name, "", false, false, false, false, amqp.Table{"x-priority": "invalid"})
		return err
	})
	switch codeOf(err) {
	case amqp.PreconditionFailed:
		r.add("right to read", "yes", OK, "")
	case amqp.AccessRefused:
		r.add("right to read", "no, or another consumer has the queue for itself", Problem, "ask for the right to read from the queue, or end the other consumer")
	default:
		r.add("right to read", fmt.Sprint(err), Unknown, "")
	}
}

// timeout reports what nobody can see.
func (r *report) timeout(prefetch int) {
	r.add("consumer timeout", "not visible; RabbitMQ's default is 30 minutes", Unknown,
		fmt.Sprintf("settle every message in time: the last of %d in flight (Prefetch) waits for the others, or mark and ack at once", prefetch))
}

// arguments reports what a queue's settings, of its arguments and its policies,
// mean. What is missing in them is not set.
func (r *report) arguments(set map[string]string, server version) {
	switch kind := cmp.Or(set[queueType], "classic"); kind {
	case "quorum":
		r.add("queue type", kind, OK, "")
	case "classic":
		r.add("queue type", kind, Warning, "one node holds it: while that is down nothing is delivered; ask for a quorum queue")
	default:
		r.add("queue type", kind, Problem, "messages that are acked stay in it: ask for a quorum queue")
	}
	dead, hasDead := set["x-dead-letter-exchange"]
	limit := set["x-delivery-limit"]
	if limit == "" && server.major >= 4 && set[queueType] == "quorum" {
		limit = "20 (the server's default)"
	}
	switch {
	case limit == "":
		r.add("delivery limit", "none", OK, "")
	case hasDead:
		r.add("delivery limit", limit, OK, "")
	default:
		r.add("delivery limit", limit, Warning, "a message is dropped after so many deliveries, without a trace: ask for dead-lettering")
	}
	switch strategy, overflow := set["x-dead-letter-strategy"], set["x-overflow"]; {
	case !hasDead:
		r.add("dead-lettering", "none", OK, "")
	case strategy == "at-least-once" && overflow != "reject-publish":
		r.add("dead-lettering", target(dead, set), Warning, "at-least-once needs x-overflow reject-publish: without it, it is at-most-once")
	default:
		r.add("dead-lettering", target(dead, set)+", "+cmp.Or(strategy, "at-most-once"), OK, "")
	}
	if ttl := set["x-message-ttl"]; ttl != "" {
		r.add("message TTL", ttl+" ms", Warning, "messages that wait longer are lost, for example while the program is down: ask for a queue without")
	}
	if n := set["x-max-length"]; n != "" && set["x-overflow"] != "reject-publish" {
		r.add("length limit", n, Warning, "the oldest messages are lost beyond it: ask for a queue without, or with x-overflow reject-publish")
	}
	if set["x-single-active-consumer"] == "true" {
		r.add("single active consumer", "yes", OK, "")
	}
}

func target(exchange string, set map[string]string) string {
	key := set["x-dead-letter-routing-key"]
	if exchange == "" {
		return "to queue " + key
	}
	return strings.TrimSpace("to exchange " + exchange + " " + key)
}

// aside runs f on a channel of its own, which f may lose.
func aside(ctx context.Context, l *link, what string, f func(*amqp.Channel) error) error {
	return l.call(ctx, what, func() error {
		ch, err := l.conn.Channel()
		if err != nil {
			return err
		}
		err = f(ch)
		_ = ch.Close() // it may be closed already
		return err
	})
}

// codeOf returns the broker's reply code, or 0.
func codeOf(err error) int {
	var refused *amqp.Error
	if errors.As(err, &refused) && refused.Server {
		return refused.Code
	}
	return 0
}

// version is a server's.
type version struct{ major, minor int }

func serverVersion(l *link) version {
	text, _ := l.conn.Properties["version"].(string)
	parts := strings.Split(text, ".")
	var v version
	if len(parts) >= 2 {
		v.major, _ = strconv.Atoi(parts[0]) // 0 for what is no number: an unknown version
		v.minor, _ = strconv.Atoi(parts[1])
	}
	return v
}

// atLeast reports whether v is that version or a later one.
func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}
