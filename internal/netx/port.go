package netx

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// FreePort finds a TCP port that nobody listens on, trying the range from a random start so that two builds at once seldom
// meet. Somebody else may take it before it is used: ask only for what a program cannot choose by itself.
func FreePort(ctx context.Context, address string, lowest, highest int) (int, error) {
	count := highest - lowest + 1
	if count < 1 {
		return 0, fmt.Errorf("the range %d to %d is empty", lowest, highest)
	}
	start := rand.IntN(count)
	var lc net.ListenConfig
	for i := range count {
		port := lowest + (start+i)%count
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("no port from %d to %d is free at %s", lowest, highest, address)
}
