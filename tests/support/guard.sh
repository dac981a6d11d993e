# Ends and removes what a test process leaves behind, however it ended: `sh -c guard.sh sh FOLDER make`.
# The write end of the pipe that is the standard input lives in the test process alone.
trap '' HUP INT TERM PIPE
name=${1##*/}
if [ "$2" = make ]; then
    mkdir -m 755 "$1" || exit
    echo ready
fi
cat >/dev/null

# The processes whose current directory is in the folder.
inside() {
    ls -ld /proc/[0-9]*/cwd 2>/dev/null | sed -n "s|^.* /proc/\([0-9]*\)/cwd -> .*/$name.*|\1|p"
}

# Twice none, as a process may start another while the list is made.
round=0
none=0
while [ $none -lt 2 ]; do
    none=$((none + 1))
    for pid in $(inside); do
        none=0
        signal=KILL
        # A postgres that is told to quit removes its shared memory.
        case "$round $(cat "/proc/$pid/comm" 2>/dev/null)" in
        [0-9]' 'postgres | [0-9]' 'postmaster) signal=QUIT ;;
        esac
        kill -$signal "$pid" 2>/dev/null
        kill -CONT "$pid" 2>/dev/null
    done
    round=$((round + 1))
    [ $none = 2 ] || sleep 0.1
done

# One that was killed left its shared memory behind, and says which it is.
for file in "$1"/*/data/postmaster.pid; do
    id=$(sed -n '7s/^ *[0-9]* *\([0-9]*\) *$/\1/p' "$file" 2>/dev/null)
    [ -z "$id" ] || ipcrm -m "$id" 2>/dev/null
done
[ "$2" != make ] || rm -rf "$1"
