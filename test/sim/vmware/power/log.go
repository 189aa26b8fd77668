package power

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// logFile is a machine's vmware.log, in which VMware tells the reasons that its commands keep to themselves.
type logFile struct{ f *os.File }

// openLog opens the log of the machine with that VMX. Where it cannot be written, the machine goes without.
func openLog(path string) *logFile {
	f, err := os.OpenFile(filepath.Join(filepath.Dir(path), "vmware.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return &logFile{}
	}
	return &logFile{f}
}

func (l *logFile) printf(format string, args ...any) {
	if l.f == nil {
		return
	}
	fmt.Fprintf(l.f, "%s In(05) vmx %s\n", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), fmt.Sprintf(format, args...))
}

// post writes what a window would have shown.
func (l *logFile) post(id, format string, args ...any) {
	l.printf("Msg_Post: Error")
	l.printf("[%s] %s", id, fmt.Sprintf(format, args...))
	l.printf("----------------------------------------")
}

func (l *logFile) Close() {
	if l.f != nil {
		l.f.Close()
	}
}
