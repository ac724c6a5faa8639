package source_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
)

func ExampleREST() {
	// Stands for the gateway with an API behind it.
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Gravitee-Request-Id", "1")
		w.Header().Set("X-Gravitee-Transaction-Id", r.Header.Get("X-Gravitee-Transaction-Id"))
		if r.URL.Path != "/iga/v1/persons/1" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprint(w, `{"name":"Kari","age":40}`)
	}))
	defer api.Close()

	gw, err := gateway.New(api.URL+"/iga/v1", gateway.Config{Key: "secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer gw.CloseIdleConnections()

	type person struct {
		Name string `json:"name"`
		Age  int    `json:"age"`
	}
	persons := source.REST[person]{Gateway: gw, Path: "persons/{id}"}

	kari, err := persons.Fetch(context.Background(), source.Request{Key: entity.Key{ID: "1"}, Fresh: true})
	fmt.Println(kari.Name, kari.Age, err)

	_, err = persons.Fetch(context.Background(), source.Request{Key: entity.Key{ID: "2"}, Fresh: true})
	fmt.Println(failure.Of(err))
	// Output:
	// Kari 40 <nil>
	// gone
}

func ExampleFunc() {
	fixed := source.Func[string](func(_ context.Context, req source.Request) (string, error) {
		if req.Key.ID != "1" {
			return "", failure.As(failure.Gone, fmt.Errorf("not in the list"))
		}
		return "Kari", nil
	})
	name, err := fixed.Fetch(context.Background(), source.Request{Key: entity.Key{ID: "1"}})
	fmt.Println(name, err)
	// Output: Kari <nil>
}
