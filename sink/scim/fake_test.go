package scim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/konnektor-go/konnektor/sink/scim"
)

// quirks are the ways in which providers differ.
type quirks struct {
	noConfig     bool // there is no ServiceProviderConfig
	noPatch      bool // PATCH is neither advertised nor served
	falsePatch   int  // PATCH is advertised, but answered by this status
	noFilter     bool // filters are neither advertised nor looked at
	ignoreFilter bool // filters are advertised, but not looked at
	refuseFilter bool // filters are advertised, but refused
	rawFilter    bool // escapes in filters are not understood
	noTags       bool // there are no entity tags
	headerTags   bool // entity tags are in headers only
	bareTags     bool // meta.version lacks its quotes
	pages        int  // how many resources a page has at most
	noTotal      bool // listings do not say how many there are
	textBools    bool // booleans are returned as "True"
	upperNames   bool // attributes have other cases: "USERNAME"
	bareErrors   bool // errors have no body
	summaries    bool // listings leave out members and emails
	noContent    bool // writes are answered by 204
	readOnly     []string
}

// fake is a SCIM provider in memory.
type fake struct {
	quirks

	mu        sync.Mutex
	resources map[string][]object // by endpoint
	versions  int
	// answer answers in place of the provider, if it is set and returns true.
	answer func(w http.ResponseWriter, r *http.Request) bool
}

// start serves the fake on loopback.
func (f *fake) start(tb testing.TB) *handle {
	tb.Helper()
	f.resources = map[string][]object{"Users": nil, "Groups": nil}
	s := httptest.NewServer(f)
	tb.Cleanup(s.Close)
	return &handle{tb: tb, base: s.URL + "/scim/v2", auth: scim.Bearer("token"), large: 5000, stop: s.Close}
}

// problem is a SCIM error.
type problem struct {
	status int
	kind   string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answer != nil && f.answer(w, r) {
		return
	}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case problem:
			f.fail(w, p)
		default:
			panic(p)
		}
	}()
	if r.Header.Get("Authorization") != "Bearer token" {
		panic(problem{401, ""})
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/scim/v2/"), "/")
	list, known := f.resources[parts[0]]
	switch {
	case parts[0] == "ServiceProviderConfig" && !f.noConfig:
		f.send(w, 200, object{
			"patch": object{"supported": !f.noPatch}, "filter": object{"supported": !f.noFilter}, "etag": object{"supported": !f.noTags},
		})
	case parts[0] == "Schemas" && f.readOnly != nil:
		f.send(w, 200, f.schemas())
	case !known:
		panic(problem{404, ""})
	case len(parts) == 1 && r.Method == http.MethodGet:
		f.list(w, r, list)
	case len(parts) == 1 && r.Method == http.MethodPost:
		f.create(w, r, parts[0])
	case len(parts) == 2:
		f.one(w, r, parts[0], parts[1])
	default:
		panic(problem{404, ""})
	}
}

func (f *fake) fail(w http.ResponseWriter, p problem) {
	if f.bareErrors {
		w.WriteHeader(p.status)
		return
	}
	body := object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:Error"}, "status": strconv.Itoa(p.status), "detail": "secret"}
	if p.kind != "" {
		body["scimType"] = p.kind
	}
	f.send(w, p.status, body)
}

func (f *fake) send(w http.ResponseWriter, status int, body object) {
	w.Header().Set("Content-Type", "application/scim+json")
	w.WriteHeader(status)
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	w.Write(data)
}

func (f *fake) schemas() object {
	var attributes []object
	for _, name := range f.readOnly {
		attributes = append(attributes, object{"name": name, "mutability": "readOnly"})
	}
	return object{"totalResults": 1, "Resources": []object{{"id": "urn:ietf:params:scim:schemas:core:2.0:User", "attributes": attributes}}}
}

var filterForm = regexp.MustCompile(`^(\w+) eq (".*")$`)

func plain(r *http.Request) bool { return r.Header.Get("X-Plain") != "" }

func (f *fake) list(w http.ResponseWriter, req *http.Request, all []object) {
	filter := req.URL.Query().Get("filter")
	if filter != "" && !f.ignoreFilter && !f.noFilter {
		form := filterForm.FindStringSubmatch(filter)
		if form == nil || f.refuseFilter {
			panic(problem{400, "invalidFilter"})
		}
		var want string
		if err := json.Unmarshal([]byte(form[2]), &want); err != nil {
			panic(problem{400, "invalidFilter"})
		}
		if f.rawFilter {
			want = strings.Trim(form[2], `"`)
		}
		all = slices.DeleteFunc(slices.Clone(all), func(r object) bool {
			have, _ := r[form[1]].(string)
			return have != want && (form[1] != "userName" || !strings.EqualFold(have, want))
		})
	}
	start, count := 1, 100
	if n, err := strconv.Atoi(req.URL.Query().Get("startIndex")); err == nil {
		start = max(n, 1)
	}
	if n, err := strconv.Atoi(req.URL.Query().Get("count")); err == nil {
		count = n
	}
	if f.pages > 0 {
		count = min(count, f.pages)
	}
	page := all[min(start-1, len(all)):min(start-1+count, len(all))]
	body := object{"totalResults": len(all), "startIndex": start, "itemsPerPage": len(page)}
	if f.noTotal {
		delete(body, "totalResults")
	}
	shown := []object{}
	for _, r := range page {
		s := f.shown(r, plain(req))
		if f.summaries && !plain(req) {
			delete(s, "members")
			delete(s, "emails")
		}
		shown = append(shown, s)
	}
	body["Resources"] = shown
	f.send(w, 200, body)
}

// shown returns a resource as the provider shows it.
func (f *fake) shown(r object, plain bool) object {
	r = copied(r)
	if plain {
		return r
	}
	meta := r["meta"].(object)
	switch {
	case f.noTags || f.headerTags:
		delete(meta, "version")
	case f.bareTags:
		meta["version"] = strings.Trim(meta["version"].(string), `W/"`)
	}
	if b, ok := r["active"].(bool); ok && f.textBools {
		r["active"] = map[bool]string{true: "True", false: "False"}[b]
	}
	if f.upperNames {
		for name, v := range maps.Clone(r) {
			delete(r, name)
			r[strings.ToUpper(name[:1])+name[1:]] = v
		}
	}
	return r
}

func copied(r object) object {
	data, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	var c object
	if err := json.Unmarshal(data, &c); err != nil {
		panic(err)
	}
	return c
}

func (f *fake) create(w http.ResponseWriter, r *http.Request, path string) {
	resource := f.body(r)
	f.versions++
	resource["id"] = fmt.Sprintf("id-%d", f.versions)
	created := time.Now().UTC().Format(time.RFC3339Nano)
	resource["meta"] = object{"created": created}
	f.store(path, -1, resource)
	f.written(w, 201, resource)
}

func (f *fake) body(r *http.Request) object {
	var body object
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		panic(problem{400, "invalidSyntax"})
	}
	for name, v := range maps.Clone(body) { // their case does not matter
		if name != "Operations" {
			delete(body, name)
			body[strings.ToLower(name[:1])+name[1:]] = v
		}
	}
	return body
}

func (f *fake) written(w http.ResponseWriter, status int, r object) {
	f.tag(w, r)
	if f.noContent && status == 200 {
		w.Header().Del("ETag")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	f.send(w, status, f.shown(r, false))
}

func (f *fake) tag(w http.ResponseWriter, r object) {
	if !f.noTags {
		w.Header().Set("ETag", r["meta"].(object)["version"].(string))
	}
}

// store checks a resource and puts it at an index, or at the end.
func (f *fake) store(path string, i int, r object) {
	required := map[string]string{"Users": "userName", "Groups": "displayName"}[path]
	if name, ok := r[required].(string); !ok || name == "" {
		panic(problem{400, "invalidValue"})
	}
	for j, other := range f.resources[path] {
		if path == "Users" && i != j && strings.EqualFold(other["userName"].(string), r["userName"].(string)) {
			panic(problem{409, "uniqueness"})
		}
	}
	f.versions++
	r["meta"].(object)["version"] = fmt.Sprintf(`W/"%d"`, f.versions)
	if i < 0 {
		f.resources[path] = append(f.resources[path], r)
		return
	}
	f.resources[path][i] = r
}

// one serves a single resource.
func (f *fake) one(w http.ResponseWriter, r *http.Request, path, id string) {
	i := slices.IndexFunc(f.resources[path], func(r object) bool { return r["id"] == id })
	if i < 0 {
		panic(problem{404, ""})
	}
	have := f.resources[path][i]
	if match := r.Header.Get("If-Match"); match != "" && (f.noTags || match != have["meta"].(object)["version"]) {
		panic(problem{412, ""})
	}
	switch r.Method {
	case http.MethodGet:
		f.tag(w, have)
		f.send(w, 200, f.shown(have, plain(r)))
	case http.MethodPut:
		resource := f.body(r)
		resource["id"], resource["meta"] = id, copied(have)["meta"]
		f.store(path, i, resource)
		f.written(w, 200, resource)
	case http.MethodPatch:
		switch {
		case f.falsePatch != 0:
			panic(problem{f.falsePatch, ""})
		case f.noPatch:
			panic(problem{501, ""})
		}
		resource := copied(have)
		for _, op := range f.body(r)["Operations"].([]any) {
			apply(resource, op.(object))
		}
		f.store(path, i, resource)
		f.written(w, 200, resource)
	case http.MethodDelete:
		f.resources[path] = slices.Delete(f.resources[path], i, i+1)
		w.WriteHeader(http.StatusNoContent)
	default:
		panic(problem{405, ""})
	}
}

var pathForm = regexp.MustCompile(`^(?:(urn:[\w:.-]+:2\.0:User):)?([\w$-]+)(?:\[(\w+) eq "([^"]*)"\])?(?:\.([\w$-]+))?$`)

// apply makes one operation of a PATCH.
func apply(r, op object) {
	form := pathForm.FindStringSubmatch(op["path"].(string))
	if form == nil {
		panic(problem{400, "invalidPath"})
	}
	urn, name, by, value, sub := form[1], form[2], form[3], form[4], form[5]
	at := r
	if urn != "" {
		at = inner(at, urn)
	}
	if by == "" {
		if sub != "" {
			at, name = inner(at, name), sub
		}
		change(at, name, op)
		return
	}
	list, _ := at[name].([]any)
	kept := []any{}
	found := false
	for _, v := range list {
		v := v.(object)
		if have, _ := v[by].(string); !strings.EqualFold(have, value) {
			kept = append(kept, v)
			continue
		}
		found = true
		if sub == "" && op["op"] == "remove" {
			continue
		}
		change(v, sub, op)
		kept = append(kept, v)
	}
	if !found {
		panic(problem{400, "noTarget"})
	}
	at[name] = kept
}

func inner(r object, name string) object {
	if _, ok := r[name].(object); !ok {
		r[name] = object{}
	}
	return r[name].(object)
}

// change makes an operation on a member of an object.
func change(at object, name string, op object) {
	value := op["value"]
	have := at[name]
	switch op["op"] {
	case "remove":
		delete(at, name)
		return
	case "add":
		switch v := value.(type) {
		case []any:
			if list, ok := have.([]any); ok {
				value = slices.Concat(list, v)
			}
		case object:
			if d, ok := have.(object); ok {
				maps.Copy(d, v)
				value = d
			}
		}
	case "replace":
	default:
		panic(problem{400, "invalidSyntax"})
	}
	at[name] = value
}
