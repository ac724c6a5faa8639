package rest_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/konnektor-go/konnektor/entity"
)

// object is a JSON object.
type object = map[string]any

// campus is a system with users, as learning platforms are: it gives them ids of
// its own, has an attribute for the id of another system, takes them in a
// wrapper, changes what a PUT holds, pages its listings, ignores parameters that
// it does not know, and keeps what is deleted. Under /people it has the same
// users by that other id, with PUT, PATCH and ETags.
type campus struct {
	*httptest.Server

	mu       sync.Mutex
	users    map[int]object
	last     int
	replies  map[string]reply // by Idempotency-Key
	requests []string         // method and path
	writes   []string         // bodies
	down     bool
	refuse   bool
	perPage  int
	// meddle runs before each request, without the lock.
	meddle func(r *http.Request)
}

type reply struct {
	status int
	body   object
}

func newCampus(t testing.TB) *campus {
	c := &campus{users: map[int]object{}, replies: map[string]reply{}, perPage: 10, meddle: func(*http.Request) {}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/users", c.list)
	mux.HandleFunc("POST /api/v1/users", c.add)
	mux.HandleFunc("GET /api/v1/users/{id}", c.byID(c.show))
	mux.HandleFunc("PUT /api/v1/users/{id}", c.byID(c.change))
	mux.HandleFunc("DELETE /api/v1/users/{id}", c.byID(c.remove))
	mux.HandleFunc("GET /people/{key}", c.byKey(c.show))
	mux.HandleFunc("PUT /people/{key}", c.byKey(c.replace))
	mux.HandleFunc("PATCH /people/{key}", c.byKey(c.patch))
	mux.HandleFunc("DELETE /people/{key}", c.byKey(c.remove))
	c.Server = httptest.NewServer(c.guard(mux))
	t.Cleanup(c.Close)
	return c
}

func (c *campus) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.meddle(r)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.requests = append(c.requests, r.Method+" "+r.URL.RequestURI())
		switch {
		case c.down:
			w.Header().Set("Retry-After", "30")
			http.Error(w, "down", http.StatusServiceUnavailable)
		case c.refuse || r.Header.Get("Authorization") != "Bearer s3cret":
			send(w, http.StatusUnauthorized, object{"error": "token"})
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func send(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(data)
}

func isDeleted(u object) bool {
	deleted, _ := u["deleted"].(bool)
	return deleted
}

func etag(u object) string {
	data, err := json.Marshal(u)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`"%x"`, sha256.Sum256(data))
}

// read decodes a body, and answers 400 if it is none.
func (c *campus) read(w http.ResponseWriter, r *http.Request) (object, bool) {
	data, err := io.ReadAll(r.Body)
	var body object
	if err != nil || json.Unmarshal(data, &body) != nil {
		send(w, http.StatusBadRequest, object{"error": "no JSON"})
		return nil, false
	}
	c.writes = append(c.writes, string(data))
	return body, true
}

func (c *campus) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var all []object
	for _, id := range slices.Sorted(maps.Keys(c.users)) {
		u := c.users[id]
		if isDeleted(u) || q.Has("sis_user_id") && u["sis_user_id"] != q.Get("sis_user_id") {
			continue
		}
		if key, _ := u["sis_user_id"].(string); strings.Contains(key, q.Get("search_term")) {
			all = append(all, u)
		}
	}
	page, _ := strconv.Atoi(q.Get("page"))
	begin := min(page*c.perPage, len(all))
	end := min(begin+c.perPage, len(all))
	if end < len(all) {
		next := url.Values{}
		maps.Copy(next, q)
		next.Set("page", strconv.Itoa(page+1))
		w.Header().Set("Link", fmt.Sprintf(`<%s%s>; rel="current", <%s%s?%s>; rel="next"`, c.URL, r.URL.Path, c.URL, r.URL.Path, next.Encode()))
	}
	send(w, http.StatusOK, append([]object{}, all[begin:end]...))
}

// invalid returns why a user cannot be so, by attribute.
func (c *campus) invalid(id int, u object) (int, object) {
	for attr, v := range u {
		if s, ok := v.(string); ok && len(s) > 2000 {
			return http.StatusUnprocessableEntity, object{"errors": object{attr: []object{{"message": "is too long: " + s}}}}
		}
	}
	if name, _ := u["name"].(string); name == "" || strings.Contains(name, "forbidden") {
		return http.StatusUnprocessableEntity, object{"errors": object{"name": []object{{"message": name + " is not allowed"}}}}
	}
	for other, o := range c.users {
		if other != id && !isDeleted(o) && o["sis_user_id"] == u["sis_user_id"] {
			return http.StatusConflict, object{"errors": object{"sis_user_id": "is taken"}}
		}
	}
	return 0, nil
}

func (c *campus) store(u object) object {
	c.last++
	u["id"], u["created_at"], u["note"] = c.last, "2026-11-27T12:00:00Z", ""
	c.users[c.last] = u
	return u
}

func (c *campus) add(w http.ResponseWriter, r *http.Request) {
	body, ok := c.read(w, r)
	if !ok {
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if old, known := c.replies[key]; known && key != "" {
		send(w, old.status, old.body)
		return
	}
	u, ok := body["user"].(object)
	if !ok {
		send(w, http.StatusBadRequest, object{"error": "user is missing"})
		return
	}
	if status, errs := c.invalid(0, u); status != 0 {
		send(w, status, errs)
		return
	}
	u = c.store(u)
	c.replies[key] = reply{http.StatusCreated, u}
	send(w, http.StatusCreated, u)
}

func (c *campus) byID(do func(http.ResponseWriter, *http.Request, object)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.PathValue("id"))
		c.existing(w, r, c.users[id], do)
	}
}

func (c *campus) byKey(do func(http.ResponseWriter, *http.Request, object)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var found object
		for _, u := range c.users {
			if u["sis_user_id"] == r.PathValue("key") && !isDeleted(u) {
				found = u
			}
		}
		c.existing(w, r, found, do)
	}
}

// existing checks the preconditions, RFC 9110 section 13.2.2.
func (c *campus) existing(w http.ResponseWriter, r *http.Request, u object, do func(http.ResponseWriter, *http.Request, object)) {
	there := u != nil && !isDeleted(u)
	match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	switch {
	case match != "" && (!there || match != "*" && match != etag(u)), none == "*" && there:
		send(w, http.StatusPreconditionFailed, object{"error": "precondition"})
	case there:
		w.Header().Set("ETag", etag(u))
		do(w, r, u)
	case r.Method == http.MethodPut && r.PathValue("key") != "":
		do(w, r, nil)
	default:
		send(w, http.StatusNotFound, object{"errors": []object{{"message": "The specified resource does not exist."}}})
	}
}

func (c *campus) show(w http.ResponseWriter, _ *http.Request, u object) { send(w, http.StatusOK, u) }

// set stores a changed user.
func (c *campus) set(w http.ResponseWriter, old, u object) {
	id, _ := old["id"].(int)
	u["id"] = id
	if status, errs := c.invalid(id, u); status != 0 {
		send(w, status, errs)
		return
	}
	c.users[id] = u
	w.Header().Set("ETag", etag(u))
	send(w, http.StatusOK, u)
}

func merge(u, changes object) object {
	u = maps.Clone(u)
	for name, v := range changes {
		inner, ok := v.(object)
		switch {
		case v == nil:
			delete(u, name)
		case ok:
			held, _ := u[name].(object)
			if held == nil {
				held = object{}
			}
			u[name] = merge(held, inner)
		default:
			u[name] = v
		}
	}
	return u
}

func (c *campus) change(w http.ResponseWriter, r *http.Request, u object) {
	if body, ok := c.read(w, r); ok {
		changes, _ := body["user"].(object)
		c.set(w, u, merge(u, changes))
	}
}

func (c *campus) patch(w http.ResponseWriter, r *http.Request, u object) {
	if r.Header.Get("Content-Type") != "application/merge-patch+json" {
		send(w, http.StatusUnsupportedMediaType, object{"error": "type"})
		return
	}
	if body, ok := c.read(w, r); ok {
		c.set(w, u, merge(u, body))
	}
}

func (c *campus) replace(w http.ResponseWriter, r *http.Request, u object) {
	body, ok := c.read(w, r)
	switch {
	case !ok:
	case u != nil:
		c.set(w, u, body)
	default:
		body["sis_user_id"] = r.PathValue("key")
		if status, errs := c.invalid(0, body); status != 0 {
			send(w, status, errs)
			return
		}
		send(w, http.StatusCreated, c.store(body))
	}
}

func (c *campus) remove(w http.ResponseWriter, _ *http.Request, u object) {
	u["deleted"] = true
	w.WriteHeader(http.StatusNoContent)
}

// with runs f on the users with a key, as another writer.
func (c *campus) with(key entity.Key, f func(u object)) {
	c.locked(func() {
		for _, u := range c.users {
			if u["sis_user_id"] == key.ID && !isDeleted(u) {
				f(u)
			}
		}
	})
}

func (c *campus) locked(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}
