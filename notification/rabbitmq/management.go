package rabbitmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	manageTimeout = 10 * time.Second
	manageLimit   = 1 << 20 // bytes of an answer
)

// managedQueue is what the HTTP API says about a queue.
type managedQueue struct {
	Type      string         `json:"type"`
	State     string         `json:"state"`
	Arguments map[string]any `json:"arguments"`
	Policy    map[string]any `json:"effective_policy_definition"`
	Members   []string       `json:"members"`
	Online    []string       `json:"online"`
	Unacked   int            `json:"messages_unacknowledged"`
}

// settings returns the arguments and what policies add, by the arguments' names.
// A number that both set is the smaller one for the broker; else an argument
// goes before a policy.
func (q managedQueue) settings() map[string]string {
	set := map[string]string{}
	for name, value := range q.Policy {
		set["x-"+name] = fmt.Sprint(value)
	}
	for name, value := range q.Arguments {
		number, isNumber := value.(json.Number)
		other, both := q.Policy[strings.TrimPrefix(name, "x-")].(json.Number)
		if isNumber && both && less(other, number) {
			continue
		}
		set[name] = fmt.Sprint(value)
	}
	if q.Type != "" {
		set["x-queue-type"] = q.Type
	}
	return set
}

func less(a, b json.Number) bool {
	x, errX := a.Int64()
	y, errY := b.Int64()
	return errX == nil && errY == nil && x < y
}

// managed reports what the HTTP API alone knows.
func (r *report) managed(q managedQueue) {
	r.add("in flight", fmt.Sprintf("%d messages, of all consumers", q.Unacked), OK, "")
	if len(q.Members) == 0 {
		return
	}
	value := fmt.Sprintf("%d of %d replicas online", len(q.Online), len(q.Members))
	switch {
	case len(q.Online)*2 <= len(q.Members):
		r.add("replicas", value, Problem, "nothing is delivered before most of them are back")
	case len(q.Online) < len(q.Members):
		r.add("replicas", value, Warning, "another loss can stop the queue")
	case len(q.Members) == 1:
		r.add("replicas", value, Warning, "while its node is down nothing is delivered")
	default:
		r.add("replicas", value, OK, "")
	}
}

// manage asks the HTTP API about a queue.
func (s *Subscriber) manage(ctx context.Context, d *dialer, queue string) (managedQueue, error) {
	base := s.config.Connection.ManagementURL
	if base == "" {
		return managedQueue{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, manageTimeout)
	defer cancel()
	address := strings.TrimRight(base, "/") + "/api/queues/" + url.PathEscape(d.vhost) + "/" + url.PathEscape(queue)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return managedQueue{}, errors.New("Connection.ManagementURL: not an address: give https://host:port")
	}
	user, password, err := d.credentials(ctx)
	if err != nil {
		return managedQueue{}, fmt.Errorf("%w: %w", errCredentials, err)
	}
	request.SetBasicAuth(user, password)
	config, err := d.tls.config(host{name: request.URL.Hostname()})
	if err != nil {
		return managedQueue{}, err
	}
	transport := &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport: transport,
		// Another host must not get the password.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return managedQueue{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return managedQueue{}, fmt.Errorf("the management API answers %s", response.Status)
	}
	decoder := json.NewDecoder(io.LimitReader(response.Body, manageLimit))
	decoder.UseNumber()
	var q managedQueue
	if err := decoder.Decode(&q); err != nil {
		return managedQueue{}, fmt.Errorf("the management API's answer: %w", err)
	}
	return q, nil
}
