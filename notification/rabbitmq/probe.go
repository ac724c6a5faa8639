package rabbitmq

import (
	"context"
	"maps"
	"regexp"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

// maxProbes bounds the number of arguments that are asked for.
const maxProbes = 24

// probe reports a queue's arguments as declarations that must fail reveal them.
func (r *report) probe(ctx context.Context, l *link, queue string, configures bool) {
	const name = "right to configure"
	server := serverVersion(l)
	if !server.atLeast(3, 8) {
		r.add("queue arguments", "not visible: the server is too old to ask safely", Unknown, "set Connection.ManagementURL")
		return
	}
	found, err := argumentsOf(ctx, l, queue)
	switch {
	case codeOf(err) == amqp.AccessRefused && configures:
		r.add(name, "no", Problem, "leave Declare out, or ask for the right")
	case codeOf(err) == amqp.AccessRefused:
		r.add(name, "no, and none is needed", OK, "")
	case err == nil:
		r.add(name, "yes", OK, "")
	}
	if err != nil {
		r.add("queue arguments", "not visible without the right to configure or the management API: type, delivery limit, dead-lettering", Unknown,
			"set Connection.ManagementURL, or look at the queue in RabbitMQ's interface")
		return
	}
	r.arguments(found, server)
	r.add("policies", "not visible: a policy can set a delivery limit, dead-lettering and more", Unknown, "set Connection.ManagementURL")
}

const queueType = "x-queue-type"

// askType returns the arguments with which a declaration is refused, whatever
// the queue has, before its type is known: a queue of that type cannot be made.
func askType() amqp.Table { return amqp.Table{queueType: "konnektor-check"} }

// askRest returns the arguments with which a declaration makes nothing, once a
// queue is known to be a quorum queue. Such a queue has no priorities, so they
// are not compared, and a new one is refused for them, and for the number.
func askRest() amqp.Table { return amqp.Table{queueType: "quorum", "x-max-priority": int64(-1)} }

// argumentsOf asks for a queue's arguments one after the other: the broker
// refuses a declaration that differs, and says in what and what is there
// instead. No declaration makes a queue, even if it is deleted in between.
func argumentsOf(ctx context.Context, l *link, queue string) (map[string]string, error) {
	asked := askType()
	found, values := map[string]string{}, amqp.Table{}
	for range maxProbes {
		err := aside(ctx, l, "ask for the queue's arguments", func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, true, false, false, false, asked)
			return err
		})
		if err == nil {
			return found, nil // nothing differs any more
		}
		d, ok := differenceIn(err)
		if !ok {
			return nil, err
		}
		value, isSet := valueIn(err)
		switch {
		case isSet:
			found[d.name], values[d.name] = d.found, value
		case d.name != queueType:
			return found, nil // what a quorum queue never has is compared after all
		}
		if d.name == queueType {
			if value != "quorum" {
				return found, nil // the rest is of no interest
			}
			asked = askRest()
		}
		maps.Copy(asked, values)
	}
	return found, nil
}

var current = regexp.MustCompile(`current is the value '(.*)' of type '([^']+)'$`)

// valueIn returns the value that is there instead, so that it can be declared.
// It is false if there is none.
func valueIn(err error) (any, bool) {
	if m := given.FindStringSubmatch(reasonOf(err)); m != nil {
		return m[1], true
	}
	m := current.FindStringSubmatch(reasonOf(err))
	if m == nil {
		return nil, false
	}
	switch m[2] {
	case "longstr":
		return m[1], true
	case "bool":
		return m[1] == "true", true
	default:
		if n, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			return n, true
		}
		return m[1], true
	}
}

// given is the form when both sides have a value.
var given = regexp.MustCompile(`received '.*' but current is '(.*)'$`)
