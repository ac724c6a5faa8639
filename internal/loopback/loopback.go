// Package loopback tells this machine from others: only to itself may secrets
// travel in the clear.
package loopback

import "net/netip"

// Is reports whether a host, without a port, is this machine: "localhost" or a
// loopback address.
func Is(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
