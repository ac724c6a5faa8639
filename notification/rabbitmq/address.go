package rabbitmq

import (
	"errors"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// errURL never quotes the URL, and not the reason of its parser either: they
// can hold any part of the password.
var errURL = errors.New("url: not an AMQP address: " +
	"give amqps://user:password@host:port/vhost, with special characters percent-encoded")

// host is one of the addresses of a broker.
type host struct {
	name string
	port string
}

// String returns host and port, as logs and states show them.
func (h host) String() string { return net.JoinHostPort(h.name, h.port) }

// broker is what URLs say.
type broker struct {
	hosts          []host
	secure         bool
	vhost          string // empty if the URL has none
	user, password string
	external       bool // the certificate says who we are

	ca, cert, key, serverName string
	heartbeat                 time.Duration // 0 if the URL has none
}

// parseBroker reads a list of URLs, each with one or more hosts.
func parseBroker(list string) (broker, error) {
	urls := splitURLs(list)
	if len(urls) == 0 {
		return broker{}, errors.New("url: empty: give amqps://user:password@host:port/vhost")
	}
	var b broker
	var first amqp.URI
	for _, address := range urls {
		for _, single := range splitHosts(address) {
			uri, err := amqp.ParseURI(single)
			if err != nil || uri.Port < 1 || uri.Port > 65535 {
				return broker{}, errURL
			}
			h := host{uri.Host, strconv.Itoa(uri.Port)}
			if slices.Contains(b.hosts, h) {
				continue
			}
			uri.Host, uri.Port = "", 0
			if b.hosts == nil {
				first = uri
			} else if !reflect.DeepEqual(uri, first) {
				return broker{}, errors.New("url: the URLs differ in more than host and port: make the rest of them alike")
			}
			b.hosts = append(b.hosts, h)
		}
	}
	err := b.fill(urls[0], first)
	return b, err
}

// fill takes what all URLs have in common.
func (b *broker) fill(address string, uri amqp.URI) error {
	b.secure = uri.Scheme == "amqps"
	b.user, b.password = uri.Username, uri.Password
	b.ca, b.cert, b.key, b.serverName = uri.CACertFile, uri.CertFile, uri.KeyFile, uri.ServerName
	switch {
	case len(uri.AuthMechanism) == 0, strings.EqualFold(uri.AuthMechanism[0], "plain"):
	case strings.EqualFold(uri.AuthMechanism[0], "external"):
		b.external = true
	default:
		return errors.New("url: auth_mechanism: give plain or external")
	}
	u, err := url.Parse(splitHosts(address)[0])
	if err != nil {
		return errURL
	}
	if strings.Trim(u.Path, "/") != "" || strings.Contains(u.EscapedPath(), "%") {
		b.vhost = uri.Vhost
	}
	if len(b.vhost) > maxShort {
		return errURL
	}
	if beat := u.Query().Get("heartbeat"); beat != "" {
		seconds, err := strconv.Atoi(beat)
		if err != nil || seconds < 1 || seconds > 3600 {
			return errors.New("url: heartbeat: give 1 to 3600 seconds")
		}
		b.heartbeat = time.Duration(seconds) * time.Second
	}
	return nil
}

// splitURLs splits a list at white space, and at commas before a scheme: other
// commas stand between hosts.
func splitURLs(list string) []string {
	list = strings.NewReplacer(",amqp://", " amqp://", ",amqps://", " amqps://").Replace(list)
	urls := strings.Fields(list)
	for i, u := range urls {
		urls[i] = strings.TrimSuffix(u, ",")
	}
	return slices.DeleteFunc(urls, func(u string) bool { return u == "" })
}

// splitHosts makes a URL for each host of one.
func splitHosts(address string) []string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return []string{address}
	}
	end := len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		end = i
	}
	authority, tail := rest[:end], rest[end:]
	user := ""
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		user, authority = authority[:i+1], authority[i+1:]
	}
	var urls []string
	for name := range strings.SplitSeq(authority, ",") {
		urls = append(urls, scheme+"://"+user+name+tail)
	}
	return urls
}
