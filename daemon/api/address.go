package api

import (
	"net/http"
	"net/netip"
	"strings"
)

// forwardedFor is where proxies add the address that they were asked from.
const forwardedFor = "X-Forwarded-For"

// clientAddress is from where a request comes; it is not valid when that cannot be known. A proxy on this host, which is the
// only way in from elsewhere unless the daemon was told otherwise, is believed in what it added last; everybody else's header
// says what its sender likes.
func clientAddress(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // a socket has none
	}
	addr := peer.Addr().Unmap()
	all := r.Header.Values(forwardedFor)
	if !addr.IsLoopback() || len(all) == 0 {
		return addr
	}
	last := all[len(all)-1]
	client, err := netip.ParseAddr(strings.TrimSpace(last[strings.LastIndex(last, ",")+1:]))
	if err != nil {
		return addr
	}
	return client
}
