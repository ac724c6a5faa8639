// Package oauthtest tests the tokens of source/gateway/auth and
// source/gateway/maskinporten against a real OAuth 2 server, that of
// zitadel/oidc, with the rules of Maskinporten.
package oauthtest
