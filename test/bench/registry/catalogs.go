package main

import (
	"context"
	"fmt"
	"time"

	"github.com/boxkiln/boxkiln/test/bench/catalog"
)

// What is asked of catalogs: requests in a second, and milliseconds for 99 of 100.
const (
	askedOfCatalogs = 3000
	mostP99         = 60
)

// fleet is how many connections ask for a catalog at once.
const fleet = 64

// catalogs asks for the catalog of a box with many versions over many connections.
func catalogs(ctx context.Context, b *bench) error {
	res, err := catalog.Measure(ctx, catalog.Load{URL: b.kiln.url, Connections: fleet, WarmUp: 2 * time.Second, Time: 10 * time.Second})
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d versions, %d KiB, %d connections", catalog.Versions, res.Size>>10, fleet)
	b.report.AtLeast(what+": requests/s", res.Rate, askedOfCatalogs)
	b.report.AtMost(what+": p99, ms", float64(res.P99.Microseconds())/1000, mostP99)
	return nil
}
