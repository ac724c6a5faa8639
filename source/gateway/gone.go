package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// GoneProof looks at a 404 or 410 and returns nil if it proves that the source
// itself has no such entity, else why not. It may be called concurrently. Its
// errors become part of error texts: they must hold nothing of the response.
// Answers with the gateway's own text for an unknown API never get to it.
// [Config].SecondLook makes two answers of one proof.
type GoneProof func(*Response) error

// GoneByIDs accepts an answer that went through an API of the gateway: it has
// the gateway's X-Gravitee-Request-Id and echoes our X-Gravitee-Transaction-Id.
// The gateway's own 404, for an API that is stopped, not deployed or not there,
// has neither since APIM 3.18.20, 3.19.9, 3.20.3 and 4.0; before that it is
// known by its text. Besides, the body must be JSON or empty: a page of HTML or
// plain text is what proxies and servers send that do not know the path, as the
// application is not there. Where something on the way answers so without a body,
// use another proof.
//
// What it cannot tell on APIM 3 is an error of the gateway's own that the API's
// owner has turned into a 404 in JSON. Where that is done use GoneByHeader or
// GoneByField. On APIM 4 such an answer to a key that is not accepted is known by
// the client identifier that it lacks.
func GoneByIDs(r *Response) error {
	switch {
	case r.Header.Get(headerRequestID) == "":
		return errors.New("no " + headerRequestID)
	case !slices.Contains(r.Header.Values(headerTransactionID), r.TransactionID):
		return errors.New(headerTransactionID + " is not the one that was sent")
	case isHTML(r):
		return errors.New("it is a page of HTML")
	case len(bytes.TrimSpace(r.Body)) > 0 && !json.Valid(r.Body):
		return errors.New("its body is not JSON")
	default:
		return nil
	}
}

// GoneByStatus accepts every answer. It is for an API without a gateway in
// front, or one whose ids were configured away: anything else on the way that
// answers 404 then looks like an entity that is gone.
func GoneByStatus(*Response) error { return nil }

// GoneByHeader accepts an answer that has a header with that value, which only
// the source sends. An empty value stands for any.
func GoneByHeader(name, value string) GoneProof {
	return func(r *Response) error {
		values := r.Header.Values(name)
		if value == "" && len(values) > 0 || value != "" && slices.Contains(values, value) {
			return nil
		}
		return fmt.Errorf("no header %s as the source sends it", name)
	}
}

// GoneByField accepts an answer whose body is a JSON object with that value in
// a field. The path leads to the field through the objects that hold it:
// "error.code". Numbers are compared as they are written.
func GoneByField(path, value string) GoneProof {
	return func(r *Response) error {
		if v, ok := field(r.Body, path); ok && fmt.Sprint(v) == value {
			return nil
		}
		return fmt.Errorf("the field %s is not as the source sends it", path)
	}
}

func isHTML(r *Response) bool {
	if strings.Contains(strings.ToLower(r.Header.Get("Content-Type")), "html") {
		return true
	}
	begin := bytes.ToLower(bytes.TrimSpace(r.Body[:min(len(r.Body), 512)]))
	return bytes.HasPrefix(begin, []byte("<!doctype html")) || bytes.HasPrefix(begin, []byte("<html"))
}
