package netx_test

import (
	"net"
	"testing"

	"github.com/boxkiln/boxkiln/internal/netx"
)

func TestFreePort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	if port, err := netx.FreePort(t.Context(), "127.0.0.1", taken, taken); err == nil {
		t.Errorf("the taken port %d is free", port)
	}
	if _, err := netx.FreePort(t.Context(), "127.0.0.1", 9, 8); err == nil {
		t.Error("an empty range has a port")
	}
	port, err := netx.FreePort(t.Context(), "127.0.0.1", 20000, 21000)
	if err != nil || port < 20000 || port > 21000 {
		t.Errorf("FreePort = %d, %v", port, err)
	}
}
