package ldap_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/ldap"
)

// A client for two servers that hold the same directory, over TLS. The password
// is read for each new connection, so that a new one needs no restart.
func ExampleNewClient() {
	client, err := ldap.NewClient([]string{"ldaps://ldap1.example.org", "ldaps://ldap2.example.org"}, ldap.ClientConfig{
		User: "cn=connector,ou=services,dc=example,dc=org",
		Password: func(context.Context) (string, error) {
			password, err := os.ReadFile("/run/secrets/ldap")
			return strings.TrimRight(string(password), "\n"), err
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	people, err := ldap.New(client, "ou=people,dc=example,dc=org", ldap.Config{
		Key:     "employeeNumber",
		DN:      "cn={cn},ou=people,dc=example,dc=org",
		Classes: []string{"inetOrgPerson"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = sink.Ensure(people, sink.EnsureConfig[ldap.Entry]{})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleDN() {
	dn, err := ldap.DN("cn={name},ou={unit},dc=example,dc=org", map[string]string{
		"name": "Ada, Countess of Lovelace", "unit": "R+D",
	})
	fmt.Println(dn, err)
	// Output: cn=Ada\2C Countess of Lovelace,ou=R\2BD,dc=example,dc=org <nil>
}

func ExampleBelow() {
	ours := ldap.Below("ou=people,dc=example,dc=org")
	fmt.Println(ours("UID=ada, OU=People, DC=example, DC=org"), ours("cn=printer,ou=machines,dc=example,dc=org"))
	// Output: true false
}

// Accounts in Active Directory that are disabled in place of being deleted.
func ExampleDisableAccount() {
	client, err := ldap.NewClient([]string{"ldaps://dc1.example.org"}, ldap.ClientConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	accounts, err := ldap.New(client, "OU=Staff,DC=example,DC=org", ldap.Config{
		Key:     "employeeID",
		DN:      "CN={cn},OU=Staff,DC=example,DC=org",
		Classes: []string{"user"},
		Values:  map[string]ldap.Values{"userAccountControl": {Bits: ldap.AccountDisabled}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = sink.Ensure(accounts, sink.EnsureConfig[ldap.Entry]{
		Removal: sink.Removal[ldap.Entry]{Disable: ldap.DisableAccount},
	})
	fmt.Println(err)
	// Output: <nil>
}
