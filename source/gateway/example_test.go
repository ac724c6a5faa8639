package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// A client fetches a resource, and says what it means that there is none.
func Example() {
	// Stands for the gateway with an API behind it.
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Gravitee-Request-Id", "1")
		w.Header().Set("X-Gravitee-Transaction-Id", r.Header.Get("X-Gravitee-Transaction-Id"))
		if r.URL.Path != "/iga/v1/persons/1" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprint(w, `{"name":"Kari"}`)
	}))
	defer api.Close()

	client, err := gateway.New(api.URL+"/iga/v1", gateway.Config{Key: "secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()

	resp, err := client.Get(context.Background(), gateway.Request{Path: "persons/1", Route: "persons/{id}", Fresh: true})
	fmt.Println(string(resp.Body), err)

	_, err = client.Get(context.Background(), gateway.Request{Path: "persons/2", Route: "persons/{id}"})
	fmt.Println(failure.Of(err))
	// Output:
	// {"name":"Kari"} <nil>
	// gone
}

// Where the ids of the gateway were configured away, something else must prove
// that a 404 is the source's own.
func ExampleGoneProof() {
	byServer := func(r *gateway.Response) error {
		if r.Header.Get("Server") != "iga" {
			return fmt.Errorf("the answer does not name the source as its server")
		}
		return nil
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "iga")
		w.WriteHeader(http.StatusNotFound)
	}))
	defer api.Close()

	client, err := gateway.New(api.URL, gateway.Config{Gone: byServer})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	_, err = client.Get(context.Background(), gateway.Request{Path: "persons/2"})
	fmt.Println(failure.Of(err))
	// Output: gone
}
