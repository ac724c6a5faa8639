package testkit

import (
	"fmt"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// spec is what a queue was declared with.
type spec struct {
	args amqp.Table // as declared, with the queue type, integers as int64

	quorum      bool
	limit       int64         // below zero: none
	ttl         time.Duration // below zero: none
	deadLetters bool
	exchange    string // of the dead letters
	routingKey  string // of the dead letters, "": their own
	keep        bool   // dead letters that have nowhere to go
}

const (
	typeArg     = "x-queue-type"
	limitArg    = "x-delivery-limit"
	ttlArg      = "x-message-ttl"
	exchangeArg = "x-dead-letter-exchange"
	keyArg      = "x-dead-letter-routing-key"
	strategyArg = "x-dead-letter-strategy"
	overflowArg = "x-overflow"
)

// argKinds are the arguments that are known, with the texts they may have. None
// stands for any text, and nil for a number.
var argKinds = map[string][]string{
	typeArg:     {"classic", "quorum"},
	limitArg:    nil,
	ttlArg:      nil,
	exchangeArg: {},
	keyArg:      {},
	strategyArg: {"at-most-once", "at-least-once"},
	overflowArg: {"drop-head", "reject-publish"},
}

// quorumSpec is that of a quorum queue without further arguments.
var quorumSpec = spec{args: amqp.Table{typeArg: "quorum"}, quorum: true, limit: -1, ttl: -1}

func parse(args amqp.Table) (spec, error) {
	s := spec{args: amqp.Table{typeArg: "classic"}, limit: -1, ttl: -1}
	for name, value := range args {
		kind, known := argKinds[name]
		if !known {
			return s, fmt.Errorf("args: %s is not known here, leave it out", name)
		}
		var err error
		if kind == nil {
			s.args[name], err = number(value)
		} else {
			s.args[name], err = text(value, kind)
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
	}
	s.quorum = s.args[typeArg] == "quorum"
	if n, found := s.args[limitArg].(int64); found {
		s.limit = n
	}
	if n, found := s.args[ttlArg].(int64); found {
		s.ttl = time.Duration(n) * time.Millisecond
	}
	s.exchange, s.deadLetters = s.args[exchangeArg].(string)
	s.routingKey, _ = s.args[keyArg].(string)
	// As in RabbitMQ, the one without the other has no effect, and nothing tells.
	s.keep = s.args[strategyArg] == "at-least-once" && s.args[overflowArg] == "reject-publish"
	return s, s.validate()
}

func (s spec) validate() error {
	for _, name := range []string{limitArg, strategyArg} {
		if s.args[name] != nil && !s.quorum {
			return fmt.Errorf("%s: invalid arg '%s' for a classic queue, set %s to quorum", name, name, typeArg)
		}
	}
	if s.args[keyArg] != nil && !s.deadLetters {
		return fmt.Errorf("%s: invalid arg '%s' without %s, set that too", keyArg, keyArg, exchangeArg)
	}
	return nil
}

func number(value any) (any, error) {
	var n int64
	switch v := value.(type) {
	case int:
		n = int64(v)
	case int8:
		n = int64(v)
	case int16:
		n = int64(v)
	case int32:
		n = int64(v)
	case int64:
		n = v
	case uint8:
		n = int64(v)
	case uint16:
		n = int64(v)
	case uint32:
		n = int64(v)
	default:
		return nil, fmt.Errorf("a %T, must be an integer", value)
	}
	if n < 0 || n > maxTTL {
		return nil, fmt.Errorf("%d, must be 0 to %d", n, maxTTL)
	}
	return n, nil
}

func text(value any, kind []string) (any, error) {
	s, ok := value.(string)
	switch {
	case !ok:
		return nil, fmt.Errorf("a %T, must be a string", value)
	case len(kind) > 0 && !slices.Contains(kind, s):
		return nil, fmt.Errorf("must be one of %q", kind)
	case len(s) > maxName:
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(s), maxName)
	}
	return s, nil
}
