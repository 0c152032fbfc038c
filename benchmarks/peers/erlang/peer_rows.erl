%% SPDX-License-Identifier: MIT
%% The rows of tasks on Erlang: processes and messages. The mailbox is its
%% channel; where a row wants a bound (mpmc) a process keeps the queue.
-module(peer_rows).
-export([main/1]).

-define(BATCH, 10000).
-define(RING, 503).

rows() ->
    [{"spawn", fun spawn_batches/1},
     {"spawn_one", fun(N) -> spawn_one(N, 0) end},
     {"skynet_tasks", fun(L) -> skynet(0, L) end},
     {"pingpong", fun pingpong/1},
     {"ring", fun ring/1},
     {"yield", fun yields/1},
     {"mpmc", fun mpmc/1},
     {"timeouts", fun(N) -> timeouts(N, 0) end},
     {"sleepers", fun(N) -> sleepers(N, 1000) end}].

%% -- spawn, spawn_one, skynet_tasks ---------------------------------------

spawn_batches(N) -> spawn_batches(0, N, 0).

spawn_batches(N, N, Sum) -> Sum;
spawn_batches(I, N, Sum) ->
    Stop = min(N, I + ?BATCH),
    spawn_batch(self(), I, Stop),
    spawn_batches(Stop, N, collect(Stop - I, Sum)).

spawn_batch(_, Stop, Stop) -> ok;
spawn_batch(Me, I, Stop) ->
    spawn(fun() -> Me ! I end),
    spawn_batch(Me, I + 1, Stop).

collect(0, Sum) -> Sum;
collect(N, Sum) ->
    receive X when is_integer(X) -> collect(N - 1, Sum + X) end.

spawn_one(0, Sum) -> Sum;
spawn_one(N, Sum) ->
    Me = self(),
    I = N - 1,
    spawn(fun() -> Me ! I end),
    receive X when is_integer(X) -> spawn_one(I, Sum + X) end.

skynet(First, 1) -> First;
skynet(First, Size) ->
    Me = self(),
    Part = Size div 10,
    [spawn(fun() -> Me ! skynet(First + I * Part, Part) end)
     || I <- lists:seq(0, 9)],
    collect(10, 0).

%% -- pingpong, ring, yield -------------------------------------------------

pingpong(N) ->
    Me = self(),
    Pong = spawn_link(fun() -> pong(Me) end),
    X = ping(Pong, 0, N),
    unlink(Pong),
    exit(Pong, kill),
    X.

ping(_, N, N) -> N;
ping(Pong, I, N) ->
    Pong ! I,
    receive X -> ping(Pong, X, N) end.

pong(Ping) ->
    receive I -> Ping ! I + 1 end,
    pong(Ping).

ring(N) ->
    Me = self(),
    First = spawn(fun() -> receive Next -> member(1, Next, Me) end end),
    Last = lists:foldl(
             fun(I, Next) -> spawn(fun() -> member(I, Next, Me) end) end,
             First, lists:seq(?RING, 3, -1)),
    Second = spawn(fun() -> member(2, Last, Me) end),
    First ! Second,
    First ! N,
    Winner = receive {winner, W} -> W end,
    First ! stop,
    receive stopped -> Winner end.

member(I, Next, Main) ->
    receive
        0 ->
            Main ! {winner, I},
            member(I, Next, Main);
        stop when I =:= ?RING ->
            Main ! stopped;
        stop ->
            Next ! stop;
        Token ->
            Next ! Token - 1,
            member(I, Next, Main)
    end.

yields(N) ->
    Me = self(),
    Tasks = 2 * erlang:system_info(schedulers_online),
    [spawn(fun() -> Me ! yield(N, 0) end) || _ <- lists:seq(1, Tasks)],
    collect(Tasks, 0).

yield(0, Done) -> Done;
yield(N, Done) ->
    erlang:yield(),
    yield(N - 1, Done + 1).

%% -- mpmc -------------------------------------------------------------------

mpmc(N) ->
    Me = self(),
    Queue = spawn_link(fun() -> bounded(0, queue:new(), [], queue:new()) end),
    [spawn_link(fun() -> produce(Queue, K, N) end) || K <- lists:seq(0, 3)],
    [spawn_link(fun() -> Me ! consume(Queue, share(K, N), 0) end)
     || K <- lists:seq(0, 3)],
    Sum = collect(4, 0),
    unlink(Queue),
    exit(Queue, kill),
    Sum.

share(K, N) -> (N - K + 3) div 4.

produce(_, I, N) when I >= N -> ok;
produce(Queue, I, N) ->
    Queue ! {put, self(), I},
    receive ok -> produce(Queue, I + 4, N) end.

consume(_, 0, Sum) -> Sum;
consume(Queue, N, Sum) ->
    Queue ! {get, self()},
    receive {item, X} -> consume(Queue, N - 1, Sum + X) end.

%% Getters wait only while there is no item, putters only while it is full.
bounded(Len, Items, Getters, Putters) ->
    receive
        {put, From, X} when Getters =/= [] ->
            [G | Rest] = Getters,
            G ! {item, X},
            From ! ok,
            bounded(Len, Items, Rest, Putters);
        {put, From, X} when Len < 128 ->
            From ! ok,
            bounded(Len + 1, queue:in(X, Items), Getters, Putters);
        {put, From, X} ->
            bounded(Len, Items, Getters, queue:in({From, X}, Putters));
        {get, From} when Len =:= 0 ->
            bounded(Len, Items, Getters ++ [From], Putters);
        {get, From} ->
            {{value, X}, Rest} = queue:out(Items),
            From ! {item, X},
            case queue:out(Putters) of
                {empty, _} ->
                    bounded(Len - 1, Rest, Getters, Putters);
                {{value, {P, Y}}, Others} ->
                    P ! ok,
                    bounded(Len, queue:in(Y, Rest), Getters, Others)
            end
    end.

%% -- timeouts, sleepers -----------------------------------------------------

timeouts(0, Done) -> Done;
timeouts(N, Done) ->
    T = erlang:start_timer(10000, self(), timeout),
    erlang:yield(),
    case erlang:cancel_timer(T) of
        false -> receive {timeout, T, timeout} -> timeouts(N - 1, Done) end;
        _ -> timeouts(N - 1, Done + 1)
    end.

sleepers(N, Ms) ->
    Me = self(),
    Counts = atomics:new(2, []),
    crowd(N, fun() -> sleeper(Me, Counts, N, Ms) end),
    receive asleep -> ok end,
    put(grown, resident() - get(at_first)),
    put(gone, atomics:get(Counts, 2)),
    receive ended -> atomics:get(Counts, 2) end.

%% To spawn a million takes longer than they sleep: their memory is taken in
%% the warm-up, where they sleep until all do.
sleepers_memory(N, Ms) ->
    N = sleepers(N, Ms),
    case get(gone) of
        0 -> get(grown) div N;
        _ -> sleepers_memory(N, 2 * Ms)
    end.

crowd(0, _) -> ok;
crowd(N, Fun) ->
    spawn(Fun),
    crowd(N - 1, Fun).

sleeper(Main, Counts, N, Ms) ->
    case atomics:add_get(Counts, 1, 1) of
        N -> Main ! asleep;
        _ -> ok
    end,
    receive after Ms -> ok end,
    case atomics:add_get(Counts, 2, 1) of
        N -> Main ! ended;
        _ -> ok
    end.

resident() ->
    {ok, F} = file:open("/proc/self/statm", [read, raw]),
    {ok, Line} = file:read_line(F),
    ok = file:close(F),
    list_to_integer(lists:nth(2, string:lexemes(Line, " "))) * 4096.

%% -- the frame ----------------------------------------------------------------

once(Fun, Size) ->
    Begin = erlang:monotonic_time(nanosecond),
    Answer = Fun(Size),
    {erlang:monotonic_time(nanosecond) - Begin, Answer}.

warm_up("sleepers", _, Size) ->
    integer_to_list(sleepers_memory(Size, 1000 + Size div 200));
warm_up(_, Fun, Size) ->
    Fun(Size),
    "".

runs(_, _, _, 0) -> ok;
runs(Fun, Size, Memory, Runs) ->
    {Ns, Answer} = once(Fun, Size),
    io:format("~s~n", [string:trim(io_lib:format("~b ~b ~s",
                                                 [Ns, Answer, Memory]))]),
    runs(Fun, Size, Memory, Runs - 1).

main(["list"]) ->
    [io:format("~s~n", [Name]) || {Name, _} <- rows()],
    halt(0);
main(["version"]) ->
    io:format("Erlang/OTP ~s, erts ~s, ~s~n",
              [erlang:system_info(otp_release), erlang:system_info(version),
               erlang:system_info(emu_flavor)]),
    halt(0);
main([Row, _Threads, Size, Runs]) ->
    {Row, Fun} = lists:keyfind(Row, 1, rows()),
    put(at_first, resident()),
    N = list_to_integer(Size),
    Memory = warm_up(Row, Fun, N),
    runs(Fun, N, Memory, list_to_integer(Runs)),
    halt(0).
