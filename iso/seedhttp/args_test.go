package seedhttp

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

func TestPorts(t *testing.T) {
	t.Parallel()
	first, _ := start(t, Config{Content: map[string]string{"/x": ""}})
	port := first.Port()
	_, err := Start(t.Context(), Config{PortMin: port, PortMax: port})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("from %d to %d is taken on 127.0.0.1", port, port)) {
		t.Errorf("exhausted range: %v", err)
	}
	for _, bad := range [][2]int{{-1, 5}, {5, 4}, {1, 70000}, {0, 10}} {
		if _, err := Start(t.Context(), Config{PortMin: bad[0], PortMax: bad[1]}); err == nil {
			t.Errorf("%v was taken for a range", bad)
		}
	}
	_, err = Start(t.Context(), Config{Addr: netip.MustParseAddr("192.0.2.1")})
	if !errors.Is(err, syscall.EADDRNOTAVAIL) || !strings.Contains(err.Error(), "http_bind_address") {
		t.Errorf("foreign address: %v", err)
	}
	if _, err := Start(t.Context(), Config{Root: fstest.MapFS{}, Content: map[string]string{"x": ""}}); err == nil {
		t.Error("both a directory and content were taken")
	}
}

func TestArgs(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args Args
		want []string
	}{
		"empty":        {Args{}, nil},
		"full":         {Args{Directory: "http", PortMin: 8000, PortMax: 8000, BindAddress: "0.0.0.0", NetworkProtocol: "tcp4"}, nil},
		"both":         {Args{Directory: "http", Content: map[string]string{"/x": ""}}, []string{"http_directory and http_content"}},
		"two places":   {Args{BindAddress: "::1", Interface: "lo"}, []string{"http_bind_address and http_interface"}},
		"bad ports":    {Args{PortMin: -1, PortMax: 70000}, []string{"http_port_min -1", "http_port_max 70000"}},
		"wrong order":  {Args{PortMin: 9000, PortMax: 8999}, []string{"http_port_min 9000 is greater"}},
		"bad address":  {Args{BindAddress: "example.org"}, []string{`http_bind_address "example.org"`}},
		"bad keys":     {Args{Content: map[string]string{"/": ""}}, []string{`key "/"`}},
		"same keys":    {Args{Content: map[string]string{"/x": "", "x": ""}}, []string{"two keys"}},
		"unix":         {Args{NetworkProtocol: "unix"}, []string{"guest cannot reach"}},
		"bad protocol": {Args{NetworkProtocol: "udp"}, []string{`"udp" is unknown`}},
		"mismatch":     {Args{NetworkProtocol: "tcp6", BindAddress: "127.0.0.1"}, []string{"does not belong"}},
	} {
		errs := tc.args.Validate()
		if len(errs) != len(tc.want) {
			t.Errorf("%s: %v", name, errs)
			continue
		}
		for i, want := range tc.want {
			if !strings.Contains(errs[i].Error(), want) {
				t.Errorf("%s: %v, want %q", name, errs[i], want)
			}
		}
	}
	for _, tc := range []struct{ min, max, low, high int }{{0, 0, 0, 0}, {8500, 0, 8500, 9000}, {0, 8500, 8000, 8500}, {0, 80, 80, 80}, {9500, 0, 9500, 9500}} {
		if low, high := (Args{PortMin: tc.min, PortMax: tc.max}).Ports(); low != tc.low || high != tc.high {
			t.Errorf("%+v: %d to %d", tc, low, high)
		}
	}
}

func TestBindAddr(t *testing.T) {
	t.Parallel()
	guest := netip.MustParseAddr("192.168.121.1")
	for _, tc := range []struct {
		args Args
		want string
	}{
		{Args{}, "192.168.121.1"},
		{Args{BindAddress: "0.0.0.0"}, "0.0.0.0"},
		{Args{BindAddress: "localhost"}, "127.0.0.1"},
		{Args{Interface: "lo"}, "127.0.0.1"},
	} {
		if got, err := tc.args.BindAddr(guest); err != nil || got.String() != tc.want {
			t.Errorf("%+v: %v, %v", tc.args, got, err)
		}
	}
	if _, err := (Args{Interface: "nosuch0"}).BindAddr(guest); err == nil || !strings.Contains(err.Error(), `http_interface "nosuch0"`) {
		t.Errorf("unknown interface: %v", err)
	}
}
