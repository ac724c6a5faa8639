// Package topic matches routing keys against the patterns of AMQP topic
// exchanges.
package topic

import "strings"

// Match reports whether a routing key matches a pattern of words separated by
// dots, in which "*" stands for exactly one word and "#" for any number of
// words, none included (AMQP 0.9.1, section 3.1.3.3).
func Match(pattern, key string) bool { return match(words(pattern), words(key)) }

// words splits as RabbitMQ does, for which an empty key has no words.
func words(key string) []string {
	if key == "" {
		return nil
	}
	return strings.Split(key, ".")
}

// match walks both lists once and, when it gets stuck, lets the last "#" take
// one word more: linear in memory, never exponential in time.
func match(pattern, words []string) bool {
	p, w := 0, 0
	hash, resume := -1, 0
	for w < len(words) {
		switch {
		case p < len(pattern) && pattern[p] == "#":
			hash, resume = p, w
			p++
		case p < len(pattern) && (pattern[p] == "*" || pattern[p] == words[w]):
			p++
			w++
		case hash >= 0:
			resume++
			p, w = hash+1, resume
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == "#" {
		p++
	}
	return p == len(pattern)
}
