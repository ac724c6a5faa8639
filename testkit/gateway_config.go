package testkit

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// GatewayConfig sets up a [Gateway]. The zero GatewayConfig works: a gateway of
// version 3 that does nothing but check the key.
type GatewayConfig struct {
	// Version is that of the gateway, which differ in what they send: "3.15.2",
	// "4.12.0". An x is the newest: "3.x", the default, or "4.x".
	Version string
	// ContextPath is where the gateway publishes the API, like "/iga/v1". The
	// default is "/api".
	ContextPath string
	// Key is the API key that opens it. The default is "secret".
	Key string
	// Keyless adds a plan that wants no key. A wrong key does not fall back to
	// it.
	Keyless bool
	// Methods are those that the plan allows. The default is GET.
	Methods []string
	// Denied are the paths that the plan refuses, as path.Match reads them and
	// relative to the context path: "persons/*".
	Denied []string
	// Sync is how long the gateway takes to learn of a new key, and that the API
	// was stopped or started. There are two instances that answer in turn: one
	// learns it after half of that time. The default 0 is at once.
	Sync time.Duration
	// Errors are answers that the API's owner has put in the place of the
	// gateway's own errors, by the status of those.
	Errors map[int]Failure
	// NoIDs leaves the transaction and request ids out of all answers.
	NoIDs bool
	// Chunked sends bodies without their length.
	Chunked bool

	// RateLimit, Quota, SpikeArrest and TokenBucket limit the requests. All are
	// counted from the first request in a window; none counts what another
	// refused. TokenBucket is there since 4.12.
	RateLimit, Quota, SpikeArrest, TokenBucket Limit
	// LimitHeaders sends the headers of all limits. Otherwise only the quota's
	// are sent, as is the default of those policies.
	LimitHeaders bool
	// ClockSkew is how much the gateway's clock is ahead.
	ClockSkew time.Duration

	// CacheTTL is how long answers are kept in the gateway's cache. The default
	// 0 means that there is no cache.
	CacheTTL time.Duration
	// NoRefresh takes REFRESH for an ordinary look-up.
	NoRefresh bool

	// Latency is how long the backend takes to answer. The default is 0.
	Latency time.Duration
	// BackendTimeout is how long the gateway waits for the backend's answer.
	// Default: 10 s. Negative: for ever.
	BackendTimeout time.Duration
	// RequestTimeout is the limit for all of a request. Default: 30 s.
	// Negative: none.
	RequestTimeout time.Duration
	// Failover is how often the gateway repeats a request to a backend that
	// could not be reached or did not answer in time.
	Failover int
	// Backend answers where there is no entity, for example with listings. Its
	// requests have a path that is relative to the context path, with a slash
	// in front. The default is a 404 with a JSON body.
	Backend http.Handler
}

// Limit is a number of requests in a period. The zero Limit is none.
type Limit struct {
	Requests int
	Period   time.Duration
}

func (c GatewayConfig) withDefaults() GatewayConfig {
	if c.Version == "" {
		c.Version = "3.x"
	}
	if c.ContextPath == "" {
		c.ContextPath = "/api"
	}
	if c.Key == "" {
		c.Key = "secret"
	}
	if len(c.Methods) == 0 {
		c.Methods = []string{http.MethodGet}
	}
	if c.BackendTimeout == 0 {
		c.BackendTimeout = 10 * time.Second
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 30 * time.Second
	}
	return c
}

func (c GatewayConfig) validate() error {
	v, err := parseVersion(c.Version)
	switch {
	case err != nil:
		return fmt.Errorf("Version: %w", err)
	case c.ContextPath != "" && (!strings.HasPrefix(c.ContextPath, "/") || strings.HasSuffix(c.ContextPath, "/")):
		return errors.New(`ContextPath: must begin with a slash and not end with one, like "/iga/v1"`)
	case c.CacheTTL < 0:
		return fmt.Errorf("CacheTTL: %v, must be positive, or 0 for no cache", c.CacheTTL)
	case c.Latency < 0:
		return fmt.Errorf("Latency: %v, must not be negative", c.Latency)
	case c.Sync < 0:
		return fmt.Errorf("Sync: %v, must not be negative", c.Sync)
	case c.Failover < 0:
		return fmt.Errorf("Failover: %d, must not be negative", c.Failover)
	case c.TokenBucket != (Limit{}) && !v.since(4, 12, 0):
		return errors.New(`TokenBucket: is there since Version "4.12.0"`)
	}
	for _, l := range []struct {
		name string
		Limit
	}{
		{"RateLimit", c.RateLimit},
		{"Quota", c.Quota},
		{"SpikeArrest", c.SpikeArrest},
		{"TokenBucket", c.TokenBucket},
	} {
		if l.Limit != (Limit{}) && (l.Requests <= 0 || l.Period < time.Millisecond) {
			return fmt.Errorf("%s: needs positive Requests, and a Period of a millisecond or more", l.name)
		}
	}
	for _, pattern := range c.Denied {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("Denied: %q is not a pattern of path.Match", pattern)
		}
	}
	return nil
}

// version is major, minor and patch.
type version [3]int

// newest stands for x.
const newest = 1000

func parseVersion(text string) (version, error) {
	v := version{3, newest, newest}
	if text == "" {
		return v, nil
	}
	parts := strings.Split(text, ".")
	known := len(parts) <= len(v) && (parts[0] == "3" || parts[0] == "4")
	for i := 0; known && i < len(parts); i++ {
		if parts[i] == "x" {
			v[i] = newest
			continue
		}
		n, err := strconv.ParseUint(parts[i], 10, 16)
		v[i], known = int(n), err == nil
	}
	if !known {
		return version{}, errors.New(`must be like "3.20.3" or "4.x"; 3 and 4 are known`)
	}
	return v, nil
}

func (v version) since(major, minor, patch int) bool {
	return slices.Compare(v[:], []int{major, minor, patch}) >= 0
}

// idsWithoutAPI reports whether the answer for an unknown context path carries
// ids too.
func (v version) idsWithoutAPI() bool {
	switch {
	case v.since(3, 20, 0):
		return !v.since(3, 20, 3)
	case v.since(3, 19, 0):
		return !v.since(3, 19, 9)
	default:
		return !v.since(3, 18, 20)
	}
}

// closes reports whether the gateway's own errors of that status close the
// connection.
func (v version) closes(status int) bool { return v[0] == 3 || status/100 != 4 }
