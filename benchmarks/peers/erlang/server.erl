%% SPDX-License-Identifier: MIT
%% HTTP and echo on gen_tcp: a process a connection, which takes what comes in
%% portions of 100 messages ({active, N}), and the emulator's own HTTP parser.
-module(server).
-export([main/1]).

-define(PORTION, 100).

main(["list"]) ->
    io:format("http~necho~n"),
    halt(0);
main([What, Port, Threads]) ->
    {ok, L} = gen_tcp:listen(list_to_integer(Port),
                             [binary, {ip, {127, 0, 0, 1}}, {packet, raw},
                              {active, false}, {reuseaddr, true},
                              {backlog, 4096}, {nodelay, true}]),
    Serve = case What of
                "http" -> fun(S) -> http(S, <<>>) end;
                "echo" -> fun echo/1
            end,
    make_answers(),
    [spawn(fun() -> accept(L, Serve) end)
     || _ <- lists:seq(1, 4 * list_to_integer(Threads))],
    receive stop -> ok end.

%% Who accepts becomes the connection's process; another takes its place.
accept(L, Serve) ->
    {ok, S} = gen_tcp:accept(L),
    spawn(fun() -> accept(L, Serve) end),
    inet:setopts(S, [{active, ?PORTION}]),
    Serve(S).

echo(S) ->
    receive
        {tcp, S, Data} ->
            case gen_tcp:send(S, Data) of
                ok -> echo(S);
                _ -> gen_tcp:close(S)
            end;
        {tcp_passive, S} ->
            inet:setopts(S, [{active, ?PORTION}]),
            echo(S);
        _ ->
            gen_tcp:close(S)
    end.

http(S, Rest) ->
    receive
        {tcp, S, Data} when Rest =:= <<>> ->
            requests(S, Data);
        {tcp, S, Data} ->
            requests(S, <<Rest/binary, Data/binary>>);
        {tcp_passive, S} ->
            inet:setopts(S, [{active, ?PORTION}]),
            http(S, Rest);
        _ ->
            gen_tcp:close(S)
    end.

requests(S, <<>>) -> http(S, <<>>);
requests(S, Data) ->
    case erlang:decode_packet(http_bin, Data, []) of
        {ok, {http_request, 'GET', {abs_path, Path}, _}, Rest} ->
            case fields(Rest, keep) of
                {keep, After} ->
                    send(S, {keep, Path}, fun() -> requests(S, After) end);
                {close, _} ->
                    send(S, {close, Path}, fun() -> gen_tcp:close(S) end);
                more when byte_size(Data) < 8192 ->
                    http(S, Data);
                _ ->
                    gen_tcp:close(S)
            end;
        {more, _} when byte_size(Data) < 8192 ->
            http(S, Data);
        _ ->
            gen_tcp:close(S)
    end.

fields(Data, How) ->
    case erlang:decode_packet(httph_bin, Data, []) of
        {ok, http_eoh, Rest} ->
            {How, Rest};
        {ok, {http_header, _, 'Connection', _, Value}, Rest} ->
            case string:equal(Value, <<"close">>, true) of
                true -> fields(Rest, close);
                false -> fields(Rest, How)
            end;
        {ok, {http_header, _, _, _, _}, Rest} ->
            fields(Rest, How);
        {more, _} ->
            more;
        _ ->
            bad
    end.

send(S, Which, Next) ->
    case gen_tcp:send(S, persistent_term:get(Which, missing())) of
        ok -> Next();
        _ -> gen_tcp:close(S)
    end.

missing() -> <<"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n">>.

make_answers() ->
    [persistent_term:put({How, Path}, answer(How, Body))
     || {Path, Body} <- [{<<"/">>, <<"Hello, world">>},
                         {<<"/1k">>, binary:copy(<<"x">>, 1024)}],
        How <- [keep, close]].

answer(How, Body) ->
    Field = case How of
                keep -> "";
                close -> "Connection: close\r\n"
            end,
    iolist_to_binary(["HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n", Field,
                      "Content-Length: ", integer_to_list(byte_size(Body)),
                      "\r\n\r\n", Body]).
