package vmware

import (
	"os"
	"regexp"
	"strconv"
	"time"
)

// output is the file that a program writes to. It has no name.
type output struct {
	file     *os.File
	progress func(text string)
}

// watchEvery is how often a program's output is looked at for its progress.
const watchEvery = 200 * time.Millisecond

func newOutput(progress func(text string)) (*output, error) {
	f, err := os.CreateTemp("", "boxkiln-vmware-*")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // where that cannot be while it is open, close does it
	return &output{f, progress}, nil
}

func (o *output) close() {
	_ = o.file.Close()
	_ = os.Remove(o.file.Name())
}

func (o *output) text() string { return readOutput(o.file) }

// watch runs a program and tells its progress meanwhile.
func (o *output) watch(run func() error) error {
	if o.progress == nil {
		return run()
	}
	done := make(chan error, 1)
	go func() { done <- run() }()
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-ticker.C:
			o.progress(o.text())
		}
	}
}

// percents reads VMware's progress: "  Convert: 23% done.\r", "Disk progress: 23%".
var percents = regexp.MustCompile(`(\d{1,3})%`)

// percentOf makes a function for run that tells the last percentage in a text as a part of total.
func percentOf(total int64, report func(done, total int64)) func(string) {
	if report == nil {
		return nil
	}
	return func(text string) {
		all := percents.FindAllStringSubmatch(text, -1)
		if len(all) == 0 {
			return
		}
		n, err := strconv.Atoi(all[len(all)-1][1])
		if err == nil && n <= 100 {
			report(total/100*int64(n), total)
		}
	}
}
