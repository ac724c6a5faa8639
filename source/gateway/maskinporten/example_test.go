package maskinporten_test

import (
	"fmt"

	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/source/gateway/auth"
	"github.com/konnektor-go/konnektor/source/gateway/maskinporten"
)

// A backend behind the gateway that wants a token of Maskinporten. The key is in
// a JWK that may be replaced at any time, with its kid.
func Example() {
	token, err := maskinporten.New(maskinporten.Config{
		TokenURL: "https://test.maskinporten.no/token",
		ClientID: "0e2a1b34-0000-4000-8000-000000000000",
		Key:      auth.File("/run/secrets/maskinporten.jwk"),
		Scopes:   []string{"example:iga.read"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := gateway.New("https://gw.example.no/iga", gateway.Config{Auth: []gateway.Authenticator{token}})
	fmt.Println(client, err)
	// Output: Key: open /run/secrets/maskinporten.jwk: no such file or directory
}
