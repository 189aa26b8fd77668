package auth

import (
	"context"
	"net/netip"
)

type addressKey struct{}

// WithAddress returns a context that says from where somebody asks, so that wrong passwords are counted by address too. Of an
// IPv6 address the network counts, since who has one address has 2^64.
func WithAddress(ctx context.Context, addr netip.Addr) context.Context {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		addr = netip.PrefixFrom(addr, 64).Masked().Addr()
	}
	return context.WithValue(ctx, addressKey{}, addr)
}

// AddressFrom is from where somebody asks, as far as WithAddress said; otherwise it is empty.
func AddressFrom(ctx context.Context) string {
	addr, ok := ctx.Value(addressKey{}).(netip.Addr)
	if !ok || !addr.IsValid() {
		return ""
	}
	return addr.String()
}
