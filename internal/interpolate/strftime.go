package interpolate

import (
	"fmt"
	"strings"
	"time"
)

// strftimeLayouts are the directives that Go's layouts express.
var strftimeLayouts = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'c': "Mon Jan _2 15:04:05 2006", 'd': "02", 'D': "01/02/06", 'e': "_2",
	'F': "2006-01-02", 'h': "Jan", 'H': "15", 'I': "03", 'm': "01", 'M': "04", 'p': "PM", 'r': "03:04:05 PM", 'R': "15:04", 'S': "05",
	'T': "15:04:05", 'x': "01/02/06", 'X': "15:04:05", 'y': "06", 'Y': "2006", 'z': "-0700", 'Z': "MST",
}

// Strftime formats a time with the directives of C's strftime; a directive that it does not know stays as it is.
func Strftime(format string, t time.Time) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		b.WriteString(directive(format[i], t))
	}
	return b.String()
}

func directive(d byte, t time.Time) string {
	if layout, ok := strftimeLayouts[d]; ok {
		return t.Format(layout)
	}
	switch d {
	case '%':
		return "%"
	case 'C':
		return fmt.Sprintf("%02d", t.Year()/100)
	case 'f':
		return fmt.Sprintf("%06d", t.Nanosecond()/1000)
	case 'j':
		return fmt.Sprintf("%03d", t.YearDay())
	case 'L':
		return fmt.Sprintf("%03d", t.Nanosecond()/1e6)
	case 'n':
		return "\n"
	case 's':
		return fmt.Sprintf("%d", t.Unix())
	case 't':
		return "\t"
	case 'u':
		return fmt.Sprintf("%d", (int(t.Weekday())+6)%7+1)
	case 'V':
		_, week := t.ISOWeek()
		return fmt.Sprintf("%02d", week)
	case 'w':
		return fmt.Sprintf("%d", t.Weekday())
	}
	return "%" + string(rune(d))
}
