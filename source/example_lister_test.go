package source_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// apiServer stands for the gateway with an API behind it.
func apiServer(bodies map[string]string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Gravitee-Request-Id", "1")
		w.Header().Set("X-Gravitee-Transaction-Id", r.Header.Get("X-Gravitee-Transaction-Id"))
		body, found := bodies[r.URL.RequestURI()]
		if !found {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprint(w, body)
	}))
}

func ExampleRESTLister() {
	api := apiServer(map[string]string{
		"/iga/v1/persons?size=2":         `{"total":3,"items":[{"id":"1","name":"Kari"},{"id":"2","name":"Ola"}],"next":"/iga/v1/persons?size=2&after=2"}`,
		"/iga/v1/persons?after=2&size=2": `{"total":3,"items":[{"id":"3","name":"Åse"}],"next":null}`,
	})
	defer api.Close()
	gw, err := gateway.New(api.URL+"/iga/v1", gateway.Config{Key: "secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer gw.CloseIdleConnections()

	type person struct{ ID, Name string }
	persons := source.RESTLister[person]{
		Pages: source.Pages{
			Gateway: gw, Path: "persons", Query: map[string][]string{"size": {"2"}},
			Items: "items", Total: "total", Paging: source.Paging{NextField: "next"},
		},
		Item: source.States(func(p person) entity.Key { return entity.Key{Type: "persons", ID: p.ID} }),
	}
	for page, err := range persons.List(context.Background(), source.ListRequest{}) {
		if err != nil {
			fmt.Println(err) // what was listed so far is not everything
			return
		}
		for _, item := range page.Items {
			fmt.Println(item.Key, item.State.Name)
		}
		// A program keeps page.Resume, to go on from there after a crash.
		fmt.Printf("%d of %d, complete: %v\n", page.Listed, page.Total, page.Complete)
	}
	// Output:
	// persons/*** Kari
	// persons/*** Ola
	// 2 of 3, complete: false
	// persons/*** Åse
	// 3 of 3, complete: true
}

func ExampleComposite() {
	api := apiServer(map[string]string{
		"/iga/v1/persons/1":             `{"name":"Kari"}`,
		"/iga/v1/persons/1/employments": `[{"unit":"IT"},{"unit":"Library"}]`,
	})
	defer api.Close()
	gw, err := gateway.New(api.URL+"/iga/v1", gateway.Config{Key: "secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer gw.CloseIdleConnections()

	type employment struct{ Unit string }
	type person struct {
		Name        string
		Employments []employment
	}
	persons := source.Composite[person]{
		Main: source.REST[person]{Gateway: gw, Path: "persons/{id}"},
		Parts: []source.Part[person]{source.PartOf("employments",
			source.RESTCollection[employment]{Pages: source.Pages{Gateway: gw, Path: "persons/{id}/employments"}},
			func(into *person, all []employment) { into.Employments = all },
		)},
	}
	kari, err := persons.Fetch(context.Background(), source.Request{Key: entity.Key{ID: "1"}, Fresh: true})
	fmt.Println(kari, err)
	// Output: {Kari [{IT} {Library}]} <nil>
}
